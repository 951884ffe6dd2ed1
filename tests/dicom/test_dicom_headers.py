"""What is kept of an inbox of many slices."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileMetaDataset

from konsil.dicom.headers import share


def header(number: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.EchoTime = "90"
    dataset.InstanceNumber = number
    return dataset


def test_a_slice_holds_the_equal_values_of_the_one_before_and_keeps_its_own() -> None:
    first, second = header(1), header(2)
    share(second, first)
    assert second["EchoTime"] is first["EchoTime"]
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)


def test_nothing_is_taken_over_that_a_slice_does_not_have() -> None:
    first, second = header(1), header(1)
    del second.EchoTime
    share(second, first)
    assert "EchoTime" not in second
