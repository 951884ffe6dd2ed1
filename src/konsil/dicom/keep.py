"""Which attributes survive de-identification: those that place and explain the pixels, and no others.

DICOM PS3.15 Table E.1-1 lists what must go; standards grow and vendors invent, so a list of what must go is never
complete. Here it is turned round: an attribute is kept only if it is on this list. UIDs on it are replaced (action U of
the table) and dates shifted (its option "modified dates"). Descriptions, protocol names, comments, institution, serial
numbers of devices, times of day, all private attributes, overlays and everything unknown are gone.
"""

from __future__ import annotations

ENCODING = """
SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID Modality Manufacturer ManufacturerModelName
SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows Columns BitsAllocated BitsStored HighBit
PixelRepresentation SmallestImagePixelValue LargestImagePixelValue WindowCenter WindowWidth RescaleIntercept
RescaleSlope RescaleType LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod
BurnedInAnnotation PixelData
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

NESTED = """
SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence PixelMeasuresSequence PlanePositionSequence
PlaneOrientationSequence FrameContentSequence PixelValueTransformationSequence MRImageFrameTypeSequence
MRTimingAndRelatedParametersSequence MREchoSequence MRModifierSequence MRPulseSequence
DimensionOrganizationSequence DimensionOrganizationUID DimensionIndexSequence DimensionIndexPointer
FunctionalGroupPointer DimensionOrganizationType SegmentSequence SegmentNumber SegmentAlgorithmType
SegmentationType SegmentsOverlap SegmentedPropertyCategoryCodeSequence SegmentedPropertyTypeCodeSequence
SegmentIdentificationSequence ReferencedSegmentNumber ReferencedSeriesSequence ReferencedInstanceSequence
DerivationImageSequence SourceImageSequence ReferencedSOPClassUID ReferencedSOPInstanceUID ReferencedFrameNumber
DerivationCodeSequence PurposeOfReferenceCodeSequence CodeValue CodingSchemeDesignator CodeMeaning
"""
"""Sequences of enhanced images and segmentations; their items are filtered by the same list."""

KEPT = frozenset(" ".join((ENCODING, PHYSICS, PLACE, ORDER, NESTED)).split())
PUBLIC_CODES = frozenset({"DCM", "SCT", "SRT", "99SDM", "UCUM"})
"""Coding schemes whose meanings are printed in the standard; a hospital's own scheme may name anything."""

DATES = frozenset({"StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"})
