"""A model at work at a site: masks, and from them what people use: segmentations for the archive, a table, a page.

The room lies above learners, dicom and quality and brings them together; none of these knows of it.
"""
