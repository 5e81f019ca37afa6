"""Colours that FFmpeg's converter lacks, or that networks have not seen: to pictures of BT.709.

HDR is mapped to what ordinary screens show, since networks were trained on such pictures. It is
the method of FFmpeg's filter `tonemap=mobius`, for a diffuse white of 203 cd/m2 (ITU-R BT.2408):
the light of each pixel by its transfer function (SMPTE ST 2084; ITU-R BT.2100 for HLG, on a screen
of 1000 cd/m2), from the colours of BT.2020 to those of BT.709, a curve that leaves what is darker
than half of the white and bends what is brighter, and the gamma of BT.1886.
"""

import os
from functools import cache
from typing import Any, Literal

import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from learner.safe_open import File

Array = np.ndarray[Any, Any]

Remark = Literal["hdr", "nearest"]
"""What was done to colours. "hdr": they were mapped to those of ordinary screens. "nearest": the
converter lacks their matrix or range, and the nearest was taken."""

# The matrices that the converter has: FFmpeg's AVColorSpace. 0 is RGB, 2 is "not stated".
_MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
_NOT_STATED = 2
_BT2020 = 9
# Constant luminance of BT.2020, SMPTE ST 2085, ICtCp and IPT-C2 have brightness and two differences
# of colour, as the matrix of BT.2020 has.
_LIKE_BT2020 = frozenset({10, 11, 14, 15})
# Derived from the primaries. Their matrices, by FFmpeg's AVColorPrimaries.
_DERIVED = frozenset({12, 13})
_MATRIX_OF = {1: 1, 4: 4, 5: 5, 6: 6, 7: 7, 9: _BT2020}

_SER_DEPTH = 34  # where it stands in the header, in bytes

WHITE = 203.0
"""Of HDR, in cd/m2: it becomes the white of a picture, nearly."""
PEAK = 1000.0
"""The brightest light that is mapped, in cd/m2; what is brighter is white."""
KNEE = 0.5
"""Light up to this share of `WHITE` stays as it is."""
GAMMA = 2.4
"""Of a screen for BT.709, by BT.1886."""

# From the primaries of BT.2020 and of P3 (with the white of D65) to those of BT.709, of linear
# light: rows are red, green and blue of BT.709 (ITU-R BT.2087 for the first).
_FROM_BT2020 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)
_FROM_P3 = np.array(
    [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]],
    np.float32,
)


def is_hdr(frame: Any) -> bool:
    """Whether the transfer function of a frame is PQ or HLG."""
    return frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


def take_stated_depth(container: Any, stream: Any, file: File) -> None:
    """Let FFmpeg stretch greys of fewer bits that are stored in 16, where it does not by itself.

    It does if the container or the codec tells it how many bits are used. Of SER, its reader leaves
    out the header's "PixelDepthPerPlane" (SER format description, version 3, 2014).
    """
    if container.format.name != "ser" or not stream.codec_context:
        return
    depth = int.from_bytes(os.pread(file.fileno(), 4, _SER_DEPTH), "little")
    if 8 < depth < 16:
        stream.codec_context.bits_per_coded_sample = depth


def take_nearest(frame: Any) -> bool:
    """Mark a frame with the nearest matrix and range that FFmpeg's converter has.

    Gives whether its own is another one.
    """
    is_other = False
    if frame.color_range not in (ColorRange.UNSPECIFIED, ColorRange.MPEG, ColorRange.JPEG):
        frame.color_range = ColorRange.UNSPECIFIED
        is_other = True
    matrix = frame.colorspace
    if matrix in _MATRICES or frame.format.is_rgb:
        return is_other
    nearest = _NOT_STATED
    if matrix in _LIKE_BT2020:
        nearest = _BT2020
    elif matrix in _DERIVED:
        nearest = _MATRIX_OF.get(frame.color_primaries, _NOT_STATED)
    frame.colorspace = nearest
    return True


def mapped(image: Array, frame: Any) -> Array:
    """A picture of HDR as one of BT.709.

    Args:
        image: `(height, width, 3)` uint16, RGB, as the file has it: 65535 is 1.
        frame: The frame that it was made of, which states the transfer function and the primaries.

    Returns:
        `(height, width, 3)` uint8, RGB.
    """
    light = (_pq() if frame.color_trc == ColorTrc.SMPTE2084 else _hlg())[image]
    if frame.color_primaries in (ColorPrimaries.SMPTE431, ColorPrimaries.SMPTE432):
        light = light @ _FROM_P3.T
    elif frame.color_primaries in (ColorPrimaries.BT2020, ColorPrimaries.UNSPECIFIED):
        light = light @ _FROM_BT2020.T
    light = np.maximum(light, 0)
    brightest = np.maximum(light.max(-1, keepdims=True), 1e-6)
    light = np.clip(light * (_mobius(brightest) / brightest), 0, 1)
    picture: Array = np.rint(light ** (1 / GAMMA) * 255).astype(np.uint8)
    return picture


def _mobius(light: Array) -> Array:
    """The curve of FFmpeg's `tonemap=mobius`: `PEAK` becomes 1, smooth where it bends."""
    peak = PEAK / WHITE
    a = -(KNEE**2) * (peak - 1) / (KNEE**2 - 2 * KNEE + peak)
    b = (KNEE**2 - 2 * KNEE * peak + peak) / (peak - 1)
    scale = (b**2 + 2 * b * KNEE + KNEE**2) / (b - a)
    return np.where(light <= KNEE, light, scale * (light + a) / (light + b))


@cache
def _pq() -> Array:
    """The light of each 16-bit value of PQ, as a share of `WHITE` (SMPTE ST 2084)."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = np.linspace(0, 1, 65536) ** (1 / m2)
    light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return (light * (10000 / WHITE)).astype(np.float32)


@cache
def _hlg() -> Array:
    """The light of each 16-bit value of HLG on a screen of 1000 cd/m2, as a share of `WHITE`.

    The gamma of such a screen is 1.2 (ITU-R BT.2100), here of each colour by itself, as in zimg.
    """
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    value = np.linspace(0, 1, 65536)
    light = np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12)
    return (light**1.2 * (1000 / WHITE)).astype(np.float32)
