"""Words that may stay, because everybody uses them.

Free text is cleaned by a list of what is allowed, since nobody can list what a person might type: a word stays if it is
in the vocabulary of magnetic resonance below, and vanishes if it is not. Coded values (VR CS) are held to the defined
terms of PS3.3 and of the vendors' conformance statements; vendors and models to the names on their machines. Numbers
never stay in free text: a day, a ward and a patient's number are numbers too. This is what PS3.15 calls the Clean
Descriptors Option (code 113105).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

WORD = re.compile(r"[A-Za-z0-9_]+")


def words(text: str) -> frozenset[str]:
    """The words of a text, for a list that people can read."""
    return frozenset(text.split())


DESCRIPTIVE = words(
    """
    t1 t1w t1wi t2 t2w t2wi pd pdw flair tirm stir ir inv inv1 inv2 mprage mp2rage mpr spgr fspgr flash tfe
    ffe tse fse frfse se ge gre gr space cube vista view vibe thrive tfl tirtfl brainview propeller multivane
    fluid darkfluid swi dwi dti adc trace b0 b1000 tof mra epi bold asl perf perfusion localizer localiser
    scout survey calibration 2d 3d sag sagittal cor coronal tra transversal transverse ax axial oblique obl iso
    isotropic p2 p3 p4 acc fs fatsat fat sat spair spir water wi ns nav mvxd
    pre post gd ce kontrast contrast km nativ native ohne head brain neuro schaedel schadel kopf
    hirn cerebral cerveau encephale tete mozek hlava ms epilepsy tumor routine protocol res hires hr
    repeat wdh corrected corr norm nd dis2d dis3d orig original derived mip minip
    """
)
"""Of descriptions of series and protocols, in the languages of the hospitals; lower case. Words that are also
surnames are not among them (BRAVO, LAVA, SWAN, long, new), nor single letters, which are initials."""

CODED = words(
    """
    ORIGINAL DERIVED PRIMARY SECONDARY OTHER NONE MIXED LOCALIZER AXIAL MPR MIP MIN_IP MAX_IP MEAN SUM AVERAGE VOLUME
    SAMPLED DISTORTED REFORMATTED RESAMPLED FILTERED SUBTRACTION ADDITION COMPOSED CURVED MOSAIC
    M M_SE M_FFE M_IR M_PCA P P_SE PHASE R R_SE REAL I I_SE IMAGINARY MAGNITUDE SE FFE IR PCA ND NORM DIS2D DIS3D
    MFSPLIT FM FIL UNI INV1 INV2 DIXON W F IN_PHASE OUT_PHASE WATER FAT IP OP DIFFUSION ADC FA TRACEW CBF CBV MTT TTP
    PROTON_DENSITY T1 T2 T2_STAR T1_MAP T2_MAP FLUID_ATTENUATED STIR TAGGING VELOCITY PERFUSION TOF FLOW_ENCODED
    MR CT PT NM US CR DX XA RF OT SC SR PR SEG RTSTRUCT MONOCHROME MONOCHROME1 MONOCHROME2 YES NO Y N 00 01
    GR EP RM SK MTC SS TRSS SP MP OSP PER RG CG PPG FC PFF PFP FS CS WE SAT1 SAT2 DB SFS PFD
    FAST_GEMS EDR_GEMS FILTERED_GEMS ACC_GEMS NPW TRF_GEMS VB_GEMS MP_GEMS SAT_GEMS CL_GEMS FR_GEMS SEQ_GEMS PROP_GEMS
    EPI_GEMS FLOWCOMP_GEMS NPW_GEMS FC_FREQ_AX_GEMS FC_SLICE_AX_GEMS IFLOW_GEMS T2FLAIR_GEMS T1FLAIR_GEMS CUBE_GEMS
    2D 3D ROW COL ROWCOL COLUMN HFS HFP HFDR HFDL FFS FFP FFDR FFDL
    BRAIN HEAD SKULL NEURO HEADNECK CSPINE
    SPIN GRADIENT BOTH WATER FAT_AND_WATER SILICON_GEL PILS SENSE SMASH GRAPPA ARC CARTESIAN RECTILINEAR RADIAL SPIRAL
    ISO_2110_1 ISO_10918_1 ISO_14495_1 ISO_15444_1
    BINARY FRACTIONAL LABELMAP AUTOMATIC SEMIAUTOMATIC MANUAL TILED_FULL TILED_SPARSE
    US HU NORMALIZED ARBITRARY
    1H
    """
)
"""Defined terms of the coded attributes that are kept (PS3.3 C.7.6.1, C.8.3.1, C.8.13, C.8.20) and of vendors."""

MAKERS = words(
    """
    siemens healthineers healthcare gmbh ag ge general electric medical systems gems philips nv bv toshiba toshiba_mec
    canon canon_mec inc corporation hitachi hyperfine research bruker biospin uih united imaging esaote fonar marconi
    picker mediso neusoft unknown
    avanto avanto_fit aera altea amira area area_fit biograph_mmr connectom essenza espree lumina magnetom prisma
    prisma_fit skyra skyra_fit sola sola_fit sonata symphony symphonytim symphonyvision spectra terra terra_x triotim
    trio trio_tim verio verio_dot vida vida_fit cima_x cima allegra harmony vision free_max free_star flow
    signa hdxt hdx hde hdi excite lx artist architect premier pioneer creator voyager explorer hero champion
    discovery mr450 mr450w mr750 mr750w mr355 optima mr360 mr430s brivo genesis_signa
    achieva ingenia elition ambition evolution intera gyroscan panorama multiva prodiva dstream x s 3 0t 1 5t cx
    vantage titan galan orian elan atlas excelart centurian echelon oasis airis elite smart oval
    umr swoop echo mrt
    """
)
"""Names on machines, lower case."""


def described(text: str) -> str:
    """The words of a description that are in the vocabulary, upper case, in their order; empty if none is.

    `t1_mprage_sag_p2_iso Wilhelmina 4711` → `T1 MPRAGE SAG P2 ISO`. A word that the vocabulary lacks stays only
    if it is two known ones in one (`t1mprage`), so no part of a name stays by accident.
    """
    return " ".join(word.upper() for part in re.split(r"[^a-z0-9]+", text.lower()) for word in known_pieces(part))


def known_pieces(word: str) -> list[str]:
    """The word, or the pieces it is glued from (`t1mprage`), if all of them are in the vocabulary; else nothing."""
    if word in DESCRIPTIVE:
        return [word]
    for cut in range(2, len(word) - 1):
        if word[:cut] in DESCRIPTIVE and word[cut:] in DESCRIPTIVE:
            return [word[:cut], word[cut:]]
    return []


def maker(text: str) -> str:
    """The words of a vendor's or a model's name that are printed on machines, as they are written; empty if none is."""
    return " ".join(word for word in WORD.findall(text) if word.lower() in MAKERS)


def coded(values: Iterable[str], *, placeholder: str = "") -> list[str]:
    """The values that are defined terms, upper case; `placeholder` takes the place of others, or they vanish."""
    terms = [value.strip().upper() for value in values]
    kept = [term if term in CODED or not term else placeholder for term in terms]
    return [term for term in kept if term] if not placeholder else kept
