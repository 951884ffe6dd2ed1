"""Synthetic hospitals: patients made from the MNI152 template, scanned with known faults, written as DICOM.

Everything a test wants to know about a patient is known here: the lesions, the brain, the motion between T1w and FLAIR,
the identifiers that were planted. Seeded: the same seed gives the same bytes.
"""
