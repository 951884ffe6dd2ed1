"""From an inbox full of DICOM to BIDS: scan, de-identify, check the geometry, convert; segmentations of lesions."""
