"""A fault of our own names its kind and place, never its text."""

from konsil.errors import Fault
from konsil.files import sha256_of


def test_a_fault_repeats_nothing_of_the_error() -> None:
    try:
        sha256_of("Plantagenet")  # type: ignore[arg-type]  # what konsil itself might do wrong
    except AttributeError as error:
        sentence = Fault.of(error).sentence
    assert "AttributeError in files.py line" in sentence
    assert "Plantagenet" not in sentence
    assert sentence.endswith(".")
