"""Something to hear: a voice, a siren and rain at once, then each of them alone."""

import argparse
import sys
from pathlib import Path

from jobs.command import run_command

RATE_HZ = 32_000
SCENE = {"man": "a person speaking", "siren": "an emergency siren", "rain": "rain falling"}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.demo", description=__doc__)
    parser.add_argument("folder", nargs="?", default="demo", type=Path)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=2_000_000)
    return run_command("demo", play, parser.parse_args(argv))


def play(options: argparse.Namespace) -> None:
    import soundfile

    from separator import load_model
    from separator.audio.metrics import compute_sdr_db
    from separator.sounds.catalog import make_sound
    from separator.train.mixer import declip, match_energy

    num_samples = round(options.seconds * RATE_HZ)
    sounds = [make_sound(name, options.seed, num_samples, held_out=True) for name in SCENE]
    sounds = [match_energy(sound_T, sounds[0], 0.0) for sound_T in sounds]
    mixture_T, *sounds = declip(sum(sounds[1:], sounds[0]), *sounds)
    options.folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(options.folder / "mixture.wav", mixture_T, RATE_HZ)
    stems = load_model(options.model).separate(mixture_T[None], RATE_HZ, list(SCENE.values()))
    print(f"{options.folder}/: mixture.wav is {' + '.join(SCENE)}, {options.seconds:g} s")
    for name, query, stem_CT, sound_T in zip(SCENE, SCENE.values(), stems, sounds, strict=True):
        soundfile.write(options.folder / f"{name}.wav", stem_CT[0], RATE_HZ)
        before, after = (compute_sdr_db(x, sound_T) for x in (mixture_T, stem_CT[0]))
        print(f"  {name + '.wav':12} {query!r:24} SDR {before:5.1f} -> {after:5.1f} dB")


if __name__ == "__main__":
    sys.exit(main())
