"""Classic MR Image Storage (PS3.3 A.4): one file per slice, as most scanners still export.

One data set is made per series and then changed from slice to slice, which is several times quicker than building each
anew. Files are named as each vendor's export names them, so nothing may rely on an ending.
"""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from konsil.phantom.header import Protocol, Visit, series_header, slice_headers
from konsil.phantom.stack import Stack

FILE_NAMES = {"SIEMENS": "MR{:06d}.IMA", "Philips Medical Systems": "IM_{:04d}", "GE MEDICAL SYSTEMS": "i{:06d}.dcm"}
PRIVATE_GROUP, PRIVATE_CREATOR = 0x0011, "NORDTOR RIS 2.1"


def write_series(
    folder: Path, visit: Visit, protocol: Protocol, stack: Stack, *, first: int = 1, leave_out: tuple[int, ...] = ()
) -> str:
    """Write the slices of a series into `folder` and return the SeriesInstanceUID.

    Instances are numbered from `first`; those whose index in the stack is in `leave_out` are not written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file_name = FILE_NAMES[str(visit.profile.tags["Manufacturer"])]
    dataset = series_dataset(visit, protocol, stack)
    for index, changes in enumerate(slice_headers(visit, protocol, stack, first)):
        if index in leave_out:
            continue
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PixelData = stack.pixels[index].astype("<u2").tobytes()
        dataset.save_as(folder / file_name.format(1000 * protocol.number + first + index), enforce_file_format=True)
    return str(dataset.SeriesInstanceUID)


def series_dataset(visit: Visit, protocol: Protocol, stack: Stack) -> FileDataset:
    """A data set with everything that the slices of one series share, the private attribute included."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    for keyword, value in series_header(visit, protocol, stack).items():
        setattr(dataset, keyword, value)
    block = dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(0x01, "LO", f"{visit.identity.PatientName} {visit.identity.PatientID}")
    return dataset
