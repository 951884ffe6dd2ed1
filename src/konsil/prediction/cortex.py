"""The cortex of one person: grey by the T1w where the atlas expects grey matter, some millimetres off.

T1w tells grey from white matter best. Its field is taken out by the local level of white matter (a Gaussian mean over
the atlas's white matter); grey lies between the middles to fluid and to white matter. Lesions are as grey as cortex, so
they are left out, and grey only counts where the atlas, blurred by its own error, expects it: the border of a lesion,
part lesion and part white matter, looks grey as well. Without a T1w the atlas alone decides.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from konsil.cohort.growth import distance_mm
from konsil.cohort.volume import Volume
from konsil.prediction.ventricles import PURE, tissue
from konsil.quality.atlas import Placement, lay

DEEP_GREY_MM = 12.0  # grey matter nearer to a ventricle is thalamus or basal ganglia, not cortex
GREY = 0.6  # least share of grey matter in the atlas
BLUR_MM = 2.0  # the error of an affine atlas
EXPECTED = 0.4  # least share in the blurred atlas where the T1w is grey
LOCAL_MM = 20.0  # over which the T1w's field changes
RIM_MM = 2.0  # around lesions, where brightness teaches nothing
DARKEST = 10  # percentile of the atlas's fluid that is fluid in this person, too
LEAST = 0.05  # of white matter nearby, below which its level is not known

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


def find_cortex(
    grid: Volume, brain: Mask, placement: Placement, to_ventricle_mm: Floats, *, t1w: Volume | None, lesions: Mask
) -> Mask:
    """The cortex on the voxels of `grid`, bool (X, Y, Z). `t1w` and `lesions` lie on the same voxels."""
    grey, white = (lay(tissue(name), placement, grid) for name in ("gm", "wm"))
    allowed = brain & (to_ventricle_mm > DEEP_GREY_MM)
    if t1w is None:
        return allowed & (grey > GREY)
    aside = distance_mm(lesions, grid.spacing_mm) <= RIM_MM if lesions.any() else lesions
    known = brain & ~aside
    share = levelled(t1w, known & (white > PURE))
    looks = looks_grey(share, known & allowed & (grey > PURE), known & (grey + white < 1 - PURE))
    expected = ndimage.gaussian_filter(grey, BLUR_MM / grid.spacing_mm) > EXPECTED
    return np.asarray(allowed & looks & expected & ~lesions, dtype=np.bool_)


def levelled(t1w: Volume, white: Mask) -> Floats:
    """The T1w as a share of the white matter nearby; 0 where there is none."""
    width = LOCAL_MM / t1w.spacing_mm
    image, weight = t1w.data.astype(np.float32), white.astype(np.float32)
    level, near = (ndimage.gaussian_filter(one, width, truncate=2) for one in (image * weight, weight))
    return np.where(near > LEAST, image * near / np.maximum(level, 1e-6), 0).astype(np.float32)


def looks_grey(share: Floats, grey: Mask, fluid: Mask) -> Mask:
    """Between the middles to white matter (1) and to fluid; the levels from where the atlas has either."""
    if not grey.any():
        return np.zeros_like(grey)
    level = float(np.median(share[grey]))
    dark = float(np.percentile(share[fluid], DARKEST)) if fluid.any() else 0.0
    return np.asarray((share > (level + dark) / 2) & (share < (level + 1) / 2), dtype=np.bool_)
