"""Of what dcm2niix says, the part that concerns us is kept, without paths and values of headers."""

from __future__ import annotations

from konsil.dicom.complaints import complaints

OUTPUT = """Chris Rorden's dcm2niiX version v1.0.20260724
Found 4 DICOM file(s)
Warning: Empty protocol name(s) (0018,1030)
Warning: Patient Position (0018,5100) not specified (issue 642).
Gantry Tilt based on 0018,1120 0, estimated from slice vector 15.5
Warning: Interslice distance varies in this volume (incompatible with NIfTI format).
Warning: Interslice distance varies in this volume (incompatible with NIfTI format).
Warning: Slices not stacked: coil varies 'HEAD-WILHELMINA' vs 'NECK'
Warning: Unable to open /a/in/Plantagenet_W/IMG004
Convert 4 DICOM as /a/out/volume (512x512x4x1)
"""


def test_what_concerns_us_is_kept_once() -> None:
    said = complaints(OUTPUT, "/a/in", "/a/out")
    assert said.lost == ()
    assert said.notes == (
        "Gantry Tilt based on 0018,1120 0, estimated from slice vector 15.5",
        "Interslice distance varies in this volume (incompatible with NIfTI format).",
        "Slices not stacked: coil varies … vs …",
        "Unable to open",
    )
    assert said.sentence.startswith("dcm2niix says: Gantry Tilt")


def test_lost_pixels_are_told_apart() -> None:
    said = complaints("Error: Missing packets possible loss of data\nWarning: Unable to decode JPEG. Use dcmdjpeg.")
    assert said.lost == ("Missing packets possible loss of data", "Unable to decode JPEG. Use dcmdjpeg.")
    assert said.notes == ()


def test_silence_is_no_complaint() -> None:
    assert complaints("Found 1 DICOM file(s)\nConversion required 0.01 seconds.").sentence == ""
