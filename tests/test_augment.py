"""Laws of augmentation: reproducible, within its limits, the identity where nothing is asked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from atat.base.errors import InputError
from atat.speech import augment
from atat.speech.fbank import LOG_FLOOR
from atat.speech.settings import AugmentSettings


@pytest.fixture
def speech() -> np.ndarray:
    """Two bursts with pauses around them (T,) float32, so that active and mean power differ."""
    rng = np.random.default_rng(7)
    envelope = np.zeros(24000)
    envelope[4000:10000] = envelope[14000:20000] = 0.1
    return (envelope * rng.standard_normal(24000)).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


RANDOM: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "reverberate": augment.reverberate,
    "random_filter": augment.random_filter,
    "random_gain": augment.random_gain,
    "coloured_noise": lambda samples, rng: augment.coloured_noise(rng, len(samples)),
    "lively_noise": lambda samples, rng: augment.lively_noise(rng, len(samples)),
    "random_noise": lambda samples, rng: augment.random_noise(rng, [samples], len(samples)),
}


@pytest.mark.parametrize("name", RANDOM)
def test_waveforms_follow_the_seed_keep_shape_and_leave_the_input(
    name: str, speech: np.ndarray
) -> None:
    before = speech.copy()
    first, again, other = (RANDOM[name](speech, rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == speech.shape and first.dtype == np.float32 and np.isfinite(first).all()
    np.testing.assert_array_equal(speech, before)


@pytest.mark.parametrize("step", [augment.reverberate, augment.random_filter])
def test_rooms_and_filters_keep_the_power_and_digital_silence(
    step: Callable[..., np.ndarray], speech: np.ndarray
) -> None:
    changed = step(speech, rng())
    assert np.mean(changed**2) == pytest.approx(np.mean(speech**2), rel=1e-4)
    assert not step(np.zeros_like(speech), rng()).any()


def test_a_room_does_not_move_the_speech(speech: np.ndarray) -> None:
    wet = augment.reverberate(speech, rng(), direct_db=(10.0, 10.0))
    assert not wet[:3990].any() or np.abs(wet[:3990]).max() < 1e-6
    lag = np.argmax(np.correlate(wet[4000:9000], speech[4100:8900], mode="valid")) - 100
    assert lag == 0


@pytest.mark.parametrize("snr", [-5.0, 0.0, 6.0, 24.0])
def test_noise_is_added_at_the_snr_asked_for(snr: float, speech: np.ndarray) -> None:
    noise = augment.coloured_noise(rng(), len(speech)) * np.float32(0.03)
    mixed = augment.add_noise(speech, noise, snr)
    added = np.mean((mixed.astype(np.float64) - speech) ** 2)
    bursts = np.mean(np.r_[speech[4000:10000], speech[14000:20000]].astype(np.float64) ** 2)
    assert 10 * np.log10(bursts / added) == pytest.approx(snr, abs=0.3)
    assert mixed.dtype == np.float32


def test_lively_noise_has_loud_moments_that_stationary_noise_has_not() -> None:
    def peak_to_mean(noise: np.ndarray) -> float:
        power = np.mean(np.square(noise.reshape(-1, 800), dtype=np.float64), axis=1)
        return float(10 * np.log10(power.max() / power.mean()))

    seeds = range(20)
    stationary = [peak_to_mean(augment.coloured_noise(rng(seed), 48000)) for seed in seeds]
    lively = [peak_to_mean(augment.lively_noise(rng(seed), 48000)) for seed in seeds]
    assert np.median(lively) > np.median(stationary) + 4
    unit = [np.mean(augment.lively_noise(rng(seed), 48000) ** 2) for seed in seeds]
    assert unit == pytest.approx([1.0] * 20, rel=1e-3)


def test_pauses_do_not_count_as_speech(speech: np.ndarray) -> None:
    padded = np.concatenate([np.zeros(48000, np.float32), speech])
    assert augment.active_power(padded) == pytest.approx(augment.active_power(speech), rel=0.02)


def test_no_noise_is_added_to_or_from_digital_silence(speech: np.ndarray) -> None:
    silence = np.zeros_like(speech)
    np.testing.assert_array_equal(augment.add_noise(silence, speech, 10.0), silence)
    np.testing.assert_array_equal(augment.add_noise(speech, silence, 10.0), speech)


def test_short_noise_starts_over_and_long_noise_is_cut_out() -> None:
    ramp = np.arange(10, dtype=np.float32)
    piece = augment.random_noise(rng(), [ramp], 35)
    assert len(piece) == 35
    np.testing.assert_array_equal(np.diff(piece) % 10, np.ones(34))
    piece = augment.random_noise(rng(), [np.arange(1000, dtype=np.float32)], 7)
    assert len(piece) == 7


@pytest.mark.parametrize("factor", [0.9, 1.1, 1.25])
def test_speed_changes_length_and_pitch_by_the_factor(factor: float) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype(np.float32)
    changed = augment.speed_perturb(tone, factor)
    assert len(changed) == pytest.approx(16000 / factor, abs=1)
    spectrum = np.abs(np.fft.rfft(changed * np.hanning(len(changed)), 1 << 17))
    peak = np.argmax(spectrum) * 16000 / (1 << 17)
    assert peak == pytest.approx(440 * factor, rel=1e-3)
    assert changed.dtype == np.float32


@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_a_speed_that_nothing_can_have_is_refused(factor: float) -> None:
    with pytest.raises(InputError, match="expected factors above 0"):
        AugmentSettings(speeds=(1.0, factor))


def test_speed_one_is_the_identity(speech: np.ndarray) -> None:
    np.testing.assert_array_equal(augment.speed_perturb(speech, 1.0), speech)


def test_gain_never_clips(speech: np.ndarray) -> None:
    loud = speech / np.abs(speech).max() * np.float32(0.9)
    for seed in range(20):
        assert np.abs(augment.random_gain(loud, rng(seed), decibel=(0.0, 20.0))).max() <= 1.0001


def features(frames: int = 100, bins: int = 40) -> np.ndarray:
    return rng(5).standard_normal((frames, bins)).astype(np.float32)


def test_zero_masks_are_the_identity() -> None:
    np.testing.assert_array_equal(augment.spec_augment(features(), rng()), features())


@pytest.mark.parametrize("seed", range(20))
def test_one_mask_is_one_band_within_its_limit(seed: int) -> None:
    before = features()
    after = augment.spec_augment(before, rng(seed), time_masks=1, time_width=12)
    rows = np.flatnonzero((after != before).any(axis=1))
    assert len(rows) <= 12 and (np.diff(rows) == 1).all()
    after = augment.spec_augment(before, rng(seed), freq_masks=1, freq_width=5)
    columns = np.flatnonzero((after != before).any(axis=0))
    assert len(columns) <= 5 and (np.diff(columns) == 1).all()


def test_masks_together_stay_within_the_sum_of_their_limits() -> None:
    before = features()
    for seed in range(20):
        after = augment.spec_augment(
            before, rng(seed), time_masks=2, time_width=50, freq_masks=2, freq_width=5
        )
        changed = after != before
        assert changed.all(axis=1).sum() <= 2 * 20  # a fifth of 100 frames each
        assert changed.all(axis=0).sum() <= 2 * 5


def test_every_width_and_place_of_a_mask_comes_up() -> None:
    before = features(20, 4)
    touched = np.zeros(20, bool)
    widths = set()
    for seed in range(300):
        after = augment.spec_augment(before, rng(seed), time_masks=1, time_width=3)
        rows = (after != before).any(axis=1)
        touched |= rows
        widths.add(int(rows.sum()))
    assert touched.all() and widths == {0, 1, 2, 3}


def test_masks_follow_the_seed_and_leave_the_input() -> None:
    before = features()
    masks = {"time_masks": 2, "freq_masks": 2}
    first, again = (augment.spec_augment(before, rng(9), **masks) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(before, features())


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_tiny_utterances_survive(frames: int) -> None:
    after = augment.spec_augment(features(frames), rng(), time_masks=3, freq_masks=3)
    assert after.shape == (frames, 40)


def test_mask_frames_sets_only_its_spans() -> None:
    before = features(10, 3)
    after = augment.mask_frames(before, [(2, 4), (8, 99)], LOG_FLOOR)
    inside = np.isin(np.arange(10), [2, 3, 8, 9])
    assert (after[inside] == np.float32(LOG_FLOOR)).all()
    np.testing.assert_array_equal(after[~inside], before[~inside])
