"""Loudness of speech by ITU-R BS.1770-5, silence at the ends, and a level that does not clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Samples = NDArray[np.float32]

TARGET_LUFS = -16.0
HIGHEST_PEAK = 0.89  # -1 dB below full scale, EBU R 128
_BLOCK_S, _STEP_S = 0.4, 0.1
_ABSOLUTE_GATE_LUFS, _RELATIVE_GATE_LU = -70.0, -10.0
_SILENT_BELOW = 0.01  # of the loudest sample: -40 dB
_KEPT_SILENCE_S = 0.04
_FADE_S = 0.005


def loudness_lufs(samples: Samples, sample_rate_hz: int) -> float:
    """Return the gated loudness of mono samples, in LUFS; minus infinity for silence."""
    power = _block_powers(_k_weighted(samples.astype(np.float64), sample_rate_hz), sample_rate_hz)
    loud = power[_lufs(power) > _ABSOLUTE_GATE_LUFS]
    if not loud.size:
        return -float("inf")
    gate = _lufs(loud.mean()) + _RELATIVE_GATE_LU
    return float(_lufs(loud[_lufs(loud) > gate].mean()))


def levelled(samples: Samples, sample_rate_hz: int) -> Samples:
    """Return mono samples at the target loudness, never above the highest peak."""
    now = loudness_lufs(samples, sample_rate_hz)
    if not np.isfinite(now):
        return samples
    louder = samples.astype(np.float64) * 10 ** ((TARGET_LUFS - now) / 20)
    return _limited(louder).astype(np.float32)


def trimmed(samples: Samples, sample_rate_hz: int) -> Samples:
    """Return samples without silence at the ends; a moment of it is kept, faded in and out."""
    loud = np.flatnonzero(np.abs(samples) > _SILENT_BELOW * np.max(np.abs(samples), initial=0.0))
    if not loud.size:
        return samples
    margin = round(_KEPT_SILENCE_S * sample_rate_hz)
    kept = samples[max(0, int(loud[0]) - margin) : int(loud[-1]) + margin + 1].copy()
    ramp = np.linspace(0, 1, min(round(_FADE_S * sample_rate_hz), len(kept)), dtype=np.float32)
    kept[: len(ramp)] *= ramp
    kept[len(kept) - len(ramp) :] *= ramp[::-1]
    return kept


def _limited(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bend what is above a knee smoothly below the highest peak; what is under the knee stays as it is."""
    knee = 0.6 * HIGHEST_PEAK
    room = HIGHEST_PEAK - knee
    size = np.abs(samples)
    bent = knee + room * np.tanh(np.maximum(size - knee, 0.0) / room)
    result: NDArray[np.float64] = np.where(size > knee, np.sign(samples) * bent, samples)
    return result


def _k_weighted(samples: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """Apply BS.1770 annex 1: a shelf for the head, then a high-pass (analogue prototypes, any rate)."""
    shelf = _shelf(rate_hz, gain_db=3.999843853973347, f0_hz=1681.974450955533, q=0.7071752369554196)
    high_pass = _high_pass(rate_hz, f0_hz=38.13547087602444, q=0.5003270373238773)
    result: NDArray[np.float64] = lfilter(*high_pass, lfilter(*shelf, samples))
    return result


def _shelf(rate_hz: int, *, gain_db: float, f0_hz: float, q: float) -> tuple[list[float], list[float]]:
    k, vh = np.tan(np.pi * f0_hz / rate_hz), 10 ** (gain_db / 20)
    vb = vh**0.4996667741545416
    a0 = 1 + k / q + k * k
    b = [(vh + vb * k / q + k * k) / a0, 2 * (k * k - vh) / a0, (vh - vb * k / q + k * k) / a0]
    return b, [1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]


def _high_pass(rate_hz: int, *, f0_hz: float, q: float) -> tuple[list[float], list[float]]:
    k = np.tan(np.pi * f0_hz / rate_hz)
    a0 = 1 + k / q + k * k
    return [1.0, -2.0, 1.0], [1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]


def _block_powers(weighted: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    block, step = round(_BLOCK_S * rate_hz), round(_STEP_S * rate_hz)
    if len(weighted) < block:
        return np.array([np.mean(weighted**2)]) if len(weighted) else np.array([])
    starts = range(0, len(weighted) - block + 1, step)
    return np.array([np.mean(weighted[start : start + block] ** 2) for start in starts])


def _lufs(power: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = -0.691 + 10 * np.log10(np.maximum(power, 1e-20))
    return result
