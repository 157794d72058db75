"""Processes are told apart, also where a pid is used again."""

import os
import shutil
import subprocess
import sys

from separator.run.process import identify_process, is_alive, list_children


def test_is_alive_of_a_process_that_ends():
    here = identify_process()
    assert here == identify_process(os.getpid()) and is_alive(here, here) is True
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = identify_process(child.pid)
    assert is_alive(process, here) is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_alive(process, here) is False  # a zombie
    child.communicate()
    assert is_alive(process, here) is False


def test_is_alive_is_unknown_beyond_this_machine():
    here = identify_process()
    assert is_alive(here + "1", here) is False  # the same pid at another time
    assert is_alive(f"elsewhere{here}", here) is None and is_alive("", here) is None
    assert is_alive(f"{here.partition('/')[0]}/abc/5", here) is False


def test_list_children_names_those_that_are_there():
    before = list_children()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert list_children() - before == {child.pid}
    child.communicate()
    assert list_children() == before


def test_processes_may_have_names_that_are_cut_inside_a_character(tmp_path):
    """The kernel keeps 15 bytes of a name, and any program on the machine may have it."""
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / "фффффффффф")
    child = subprocess.Popen([program, "60"])
    try:
        assert identify_process(child.pid) and child.pid in list_children()
    finally:
        child.kill()
        child.wait()
