"""Make music of one instrument at a time: from the bank or, without one, from notes."""

from collections.abc import Callable, Sequence

import numpy as np

from separator.sounds.bank import find_bank
from separator.sounds.drumkit import play_drums
from separator.sounds.events import describe
from separator.sounds.instruments import (
    play_flute,
    play_guitar,
    play_organ,
    play_piano,
    play_strings,
    play_trumpet,
)
from separator.sounds.scores import Note, Range, compose, compose_drums
from separator.sounds.take import SoundClass, Take

BANK_SHARE = 0.8
Player = Callable[[Take, Sequence[Note]], np.ndarray]

# What the synthesized instruments play; the bank's have their own, wider ranges.
PLAYERS: dict[str, tuple[Player, Range]] = {
    "piano": (play_piano, Range(36, 93, ("melody", "chords", "arpeggio", "both"))),
    "guitar": (play_guitar, Range(40, 79, ("melody", "chords", "arpeggio"))),
    "strings": (play_strings, Range(48, 88, ("melody", "melody", "lines"))),
    "flute": (play_flute, Range(64, 94, ("melody",))),
    "trumpet": (play_trumpet, Range(54, 80, ("melody",))),
    "organ": (play_organ, Range(38, 84, ("melody", "chords", "lines", "both"))),
}


def _make(name: str) -> Callable[[Take], np.ndarray]:
    def make(take: Take) -> np.ndarray:
        bank = find_bank()
        if bank is not None and (take.held_out or take.chance(BANK_SHARE)):
            return bank.cut(take, name)
        if name == "drums":
            return play_drums(take, compose_drums(take.rng, take.duration_s, take.held_out))
        play, reach = PLAYERS[name]
        return play(take, compose(take.rng, take.duration_s, reach))

    return make


MUSIC: tuple[SoundClass, ...] = (
    describe(
        "piano",
        _make("piano"),
        "piano, piano music, someone plays the piano, a piano melody, a piano is playing, "
        "playing the piano, a solo piano, a pianist at the piano, piano chords, a grand piano, "
        "notes of a piano",
        "the piano plays a tune, a pianist plays for the guests, a piano plays a slow ballad, "
        "a slow piece for piano, a soft tune played on the piano",
    ),
    describe(
        "guitar",
        _make("guitar"),
        "guitar, guitar music, someone plays the guitar, a guitar melody, a guitar is playing, "
        "playing the guitar, an acoustic guitar, an electric guitar, strumming a guitar, "
        "plucking a guitar, a guitarist, guitar chords",
        "the guitar plays a tune, a guitarist plays in the street, a softly strummed guitar, "
        "soft chords strummed on a guitar, plucking a slow song on a guitar",
    ),
    describe(
        "strings",
        _make("strings"),
        "violin, strings, violin music, someone plays the violin, a violin melody, "
        "a violin is playing, playing the cello, a string orchestra, bowed strings, a violinist, "
        "a string ensemble, a cello",
        "the violin plays a tune, violins play a slow waltz, a quartet with two violins, "
        "a violinist plays at a wedding, a cello plays a sad tune",
    ),
    describe(
        "flute",
        _make("flute"),
        "flute, flute music, someone plays the flute, a flute melody, a flute is playing, "
        "playing the flute, a solo flute, a wooden flute, blowing a flute, a flutist, "
        "notes of a flute",
        "the flute plays a tune, flutes play a slow waltz, a flutist plays a cheerful tune, "
        "a flute plays a soft melody, a slow piece for flute",
    ),
    describe(
        "trumpet",
        _make("trumpet"),
        "trumpet, trumpet music, someone plays the trumpet, a trumpet melody, "
        "a trumpet is playing, playing the trumpet, a solo trumpet, a brass instrument, brass, "
        "blowing a trumpet, a trumpeter, a trumpet fanfare",
        "the trumpet plays a tune, trumpets play a march, a trumpeter plays at dawn, "
        "a trumpet plays a loud fanfare, a loud brass fanfare",
    ),
    describe(
        "organ",
        _make("organ"),
        "organ, organ music, someone plays the organ, an organ melody, an organ is playing, "
        "playing the organ, a church organ, a pipe organ, an electric organ, an organist, "
        "organ chords",
        "the organ plays a tune, organ chords before the hymn, an organist plays a slow prelude, "
        "a huge organ fills the cathedral, low organ notes in the chapel",
    ),
    describe(
        "drums",
        _make("drums"),
        "drums, drum music, someone plays the drums, a drum beat, drums are playing, "
        "playing the drums, a drum kit, a drum solo, drumming, a drummer, percussion, "
        "a drum machine",
        "the drums play a rhythm, a drummer plays a rhythm, someone drums a slow rhythm, "
        "a steady beat on the drum set, drumming on a small kit",
    ),
)
