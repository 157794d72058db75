"""Ceph's object store on loopback: one monitor, one disk in a file, one gateway.

A real store with real accounts: it refuses wrong keys, keeps unfinished uploads, and answers 411 to
uploads with streaming checksums, as many older stores do.
"""

import os
import shutil
import socket
import subprocess
import time
import uuid
from pathlib import Path

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph-authtool", "monmaptool")
KEY, SECRET = "ci", "ci-secret-key"

CONFIG = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon_port}/0
mon initial members = a
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
keyring = {folder}/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data = {folder}/mon
mon max pg per osd = 1000
mon data avail crit = 1
osd data = {folder}/osd
bluestore block size = 8589934592
bluestore cache autotune = false
bluestore cache size = 134217728
osd memory target = 939524096
osd class dir = {classes}
erasure code dir = {plugins}/erasure-code
plugin dir = {plugins}
run dir = {folder}/run
admin socket = {folder}/run/$name.$pid.asok
log file = {folder}/log/$name.log
pid file = {folder}/run/$name.pid
crash dir = {folder}/run
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
rgw dns name = 127.0.0.1
[osd]
keyring = {folder}/osd/keyring
"""


def find_missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    """Starts in about 15 s, stops with everything it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = find_free_port()
        self.endpoint_url = f"http://127.0.0.1:{self.port}"
        self.environment = os.environ | {"CEPH_CONF": str(folder / "ceph.conf")}
        self.daemons: dict[str, subprocess.Popen] = {}

    def start(self) -> None:
        for name in ("mon", "osd", "run", "log", "rgw"):
            (self.folder / name).mkdir()
        classes = next(p for p in Path("/usr/lib").rglob("rados-classes") if p.is_dir())
        text = CONFIG.format(
            folder=self.folder,
            fsid=uuid.uuid4(),
            mon_port=(mon_port := find_free_port()),
            port=self.port,
            classes=classes,
            plugins=classes.parent / "ceph",
        )
        (self.folder / "ceph.conf").write_text(text)
        keyring, every = str(self.folder / "keyring"), ["--cap", "osd", "allow *"]
        self._run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.",
                  "--cap", "mon", "allow *")  # fmt: skip
        self._run("ceph-authtool", keyring, "--gen-key", "-n", "client.admin",
                  "--cap", "mon", "allow *", *every, "--cap", "mgr", "allow *")  # fmt: skip
        address = f"[v2:127.0.0.1:{mon_port}/0]"
        fsid = text.split("fsid = ")[1].split()[0]
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address,
                  str(self.folder / "monmap"))  # fmt: skip
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(self.folder / "monmap"),
                  "--keyring", keyring)  # fmt: skip
        self._launch("mon", "ceph-mon", "-f", "-i", "a", "--public-addrv", address)
        disk = str(uuid.uuid4())
        self._run("ceph", "osd", "create", disk)
        self._run("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=h")
        self._run("ceph", "auth", "get-or-create", "osd.0", "mon", "allow profile osd",
                  "osd", "allow *", "-o", str(self.folder / "osd/keyring"))  # fmt: skip
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._launch("osd", "ceph-osd", "-f", "-i", "0")
        self._run("radosgw-admin", "user", "create", "--uid=ci", "--display-name=ci",
                  f"--access-key={KEY}", f"--secret-key={SECRET}")  # fmt: skip
        self.start_gateway()

    def start_gateway(self) -> None:
        self._launch("rgw", "radosgw", "-f", "-n", "client.admin")
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.daemons["rgw"].poll() is None, self._read_log("rgw")
            time.sleep(0.1)
        raise TimeoutError(self._read_log("rgw"))

    def stop_gateway(self) -> None:
        # Not killed: for half a minute the others would wait for the answer of a dead one.
        self._end(self.daemons.pop("rgw"))

    def stop(self) -> None:
        for name in ("rgw", "osd", "mon"):
            if daemon := self.daemons.pop(name, None):
                self._end(daemon)

    def _end(self, daemon: subprocess.Popen) -> None:
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait(10)

    def _launch(self, name: str, *command: str) -> None:
        with (self.folder / "log" / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=out, stderr=subprocess.STDOUT
            )

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, (command, done.stderr[-2_000:])

    def _read_log(self, name: str) -> str:
        return (self.folder / "log" / f"{name}.out").read_text()[-2_000:]
