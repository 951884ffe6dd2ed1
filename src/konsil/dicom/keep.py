"""Which attributes survive de-identification: those that place and explain the pixels, and no others.

DICOM PS3.15 Table E.1-1 lists what must go; standards grow and vendors invent, so a list of what must go is never
complete. Here it is turned round: an attribute is kept only if it is on this list, and its value only if it is one that
the attribute can have (`values`). UIDs are replaced (action U of the table), dates shifted (its option "modified
dates"), descriptions cut down to known words (its option "clean descriptors"). Comments, institution, serial numbers of
devices, times of day, overlays, curves and everything unknown are gone.

Of private attributes two pairs of numbers stay, both on the list of safe ones (PS3.15 Table E.3.10-1): with Philips'
scale dcm2niix restores the values that were measured, without it those that were shown on a screen.
"""

from __future__ import annotations

ENCODING = """
ImageType SOPClassUID SOPInstanceUID Modality Manufacturer ManufacturerModelName
SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows Columns BitsAllocated BitsStored HighBit
PixelRepresentation WindowCenter WindowWidth RescaleIntercept RescaleSlope RescaleType LossyImageCompression
LossyImageCompressionRatio LossyImageCompressionMethod BurnedInAnnotation PixelData
"""
"""What kind of object it is, and how its text and pixels are encoded."""

PHYSICS = """
BodyPartExamined ScanningSequence SequenceVariant ScanOptions MRAcquisitionType AngioFlag RepetitionTime EchoTime
EffectiveEchoTime InversionTime InversionTimes NumberOfAverages ImagingFrequency ImagedNucleus EchoNumbers
MagneticFieldStrength NumberOfPhaseEncodingSteps EchoTrainLength PercentSampling PercentPhaseFieldOfView
PixelBandwidth AcquisitionMatrix InPlanePhaseEncodingDirection FlipAngle SAR EchoPulseSequence InversionRecovery
SpectrallySelectedSuppression ParallelAcquisition ParallelReductionFactorInPlane GeometryOfKSpaceTraversal
AcquisitionContrast ComplexImageComponent PixelPresentation VolumetricProperties VolumeBasedCalculationTechnique
FrameType
"""
"""How the image was made (MR Image Module and its enhanced macros)."""

PLACE = """
SliceThickness SpacingBetweenSlices PatientPosition ImagePositionPatient ImageOrientationPatient PixelSpacing
SliceLocation FrameOfReferenceUID ImagesInAcquisition
"""
"""Where it is."""

ORDER = """
StudyInstanceUID SeriesInstanceUID SeriesNumber AcquisitionNumber InstanceNumber TemporalPositionIdentifier StackID
InStackPositionNumber DimensionIndexValues StudyDate SeriesDate AcquisitionDate ContentDate
"""
"""How images belong together."""

DESCRIPTIONS = frozenset({"SeriesDescription", "ProtocolName"})
"""Free text of which the words of the vocabulary stay."""

NAMES_OF_MACHINES = frozenset({"Manufacturer", "ManufacturerModelName"})
"""Free text of which the names on machines stay."""

NESTED = """
SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence PixelMeasuresSequence PlanePositionSequence
PlaneOrientationSequence FrameContentSequence PixelValueTransformationSequence MRImageFrameTypeSequence
MRTimingAndRelatedParametersSequence MREchoSequence MRModifierSequence
DimensionOrganizationSequence DimensionOrganizationUID DimensionIndexSequence DimensionIndexPointer
FunctionalGroupPointer DimensionOrganizationType SegmentSequence SegmentNumber SegmentAlgorithmType
SegmentationType SegmentsOverlap SegmentedPropertyCategoryCodeSequence SegmentedPropertyTypeCodeSequence
SegmentIdentificationSequence ReferencedSegmentNumber ReferencedSeriesSequence ReferencedInstanceSequence
DerivationImageSequence SourceImageSequence ReferencedSOPClassUID ReferencedSOPInstanceUID ReferencedFrameNumber
DerivationCodeSequence PurposeOfReferenceCodeSequence CodeValue CodingSchemeDesignator CodeMeaning
"""
"""Sequences of enhanced images and segmentations; their items are filtered by the same list."""

KEPT = frozenset(" ".join((ENCODING, PHYSICS, PLACE, ORDER, NESTED)).split()) | DESCRIPTIONS
DATES = frozenset({"StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"})
SAFE_PRIVATE = {("Philips MR Imaging DD 001", 0x2005): {0x0D: "FL", 0x0E: "FL"}}
"""(creator, group) → last two digits of the element → VR. Scale Intercept and Scale Slope."""

OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
PRIVATE_BLOCKS = range(0x10, 0x18)
"""Where creators are looked for; scanners begin at 10."""


def read_for_a_copy() -> frozenset[str]:
    """Keywords and tags (8 hexadecimal digits) to read of a file: what is kept, and what decides about it."""
    whose = {"PatientID", "PatientName", "PatientBirthDate"}
    pictures = {"ConversionType", "SecondaryCaptureDeviceManufacturer", "UltrasoundColorDataPresent"}
    overlays = {f"{group:04X}{element}" for group in OVERLAY_GROUPS for element in ("0100", "0102")}
    private = {
        tag
        for (_, group), elements in SAFE_PRIVATE.items()
        for block in PRIVATE_BLOCKS
        for tag in (f"{group:04X}{block:04X}", *(f"{group:04X}{block:02X}{element:02X}" for element in elements))
    }
    return KEPT | whose | pictures | overlays | private
