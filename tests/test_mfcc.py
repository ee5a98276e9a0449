"""MFCC are Kaldi's: against torchaudio's port, Kaldi's own numbers, and the laws of differences."""

import numpy as np
import pytest

from atat.base.errors import InputError
from atat.datadir import ark, contents, feats_type, features, kaldi_dir, tables
from atat.speech import audio, fbank, frontend, mfcc

RATE = 16000


def noise(seconds=0.8, kind=np.float64):
    rng = np.random.default_rng(3)
    return (0.1 * rng.standard_normal(int(seconds * RATE))).astype(kind)


@pytest.mark.parametrize("use_energy", [True, False])
def test_agrees_with_torchaudio(use_energy):
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    torch = pytest.importorskip("torch")
    samples = noise()
    options = fbank.Options(num_mels=mfcc.NUM_MELS, use_energy=use_energy)
    theirs = kaldi.mfcc(
        torch.from_numpy(samples * 32768)[None],
        sample_frequency=RATE,
        use_energy=use_energy,
        dither=0.0,
        energy_floor=0.0,
    ).numpy()
    ours = mfcc.mfcc(samples, options)
    assert ours.shape == theirs.shape == (78, 13)
    assert np.abs(ours - theirs).max() < 1e-3
    single = mfcc.mfcc(samples.astype(np.float32), options)
    assert single.dtype == np.float32 and np.abs(single - ours).max() < 2e-2


def test_the_first_coefficient_is_the_mean_of_the_mels_without_energy():
    samples = noise(0.1)
    found = mfcc.mfcc(samples, fbank.Options(num_mels=23))
    mels = fbank.lfb(samples, num_mels=23)
    assert np.allclose(found[:, 0], mels.sum(axis=1) / np.sqrt(23))


def test_differences_by_hand():
    ramp = np.arange(20.0)[:, None] * [1.0, -3.0]
    found = mfcc.add_deltas(ramp)
    assert found.shape == (20, 6) and np.array_equal(found[:, :2], ramp)
    # The slope of a line is constant but where the repeated edge comes into the window.
    assert np.allclose(found[2:-2, 2:4], [1.0, -3.0])
    assert found[0, 2] == pytest.approx((1 * 1 + 2 * 2) / 10)  # -2 and -1 are frame 0 again
    assert np.allclose(found[4:-4, 4:], 0)
    square = np.arange(20.0)[:, None] ** 2
    assert np.allclose(mfcc.add_deltas(square)[4:-4, 2], 2)
    # Kaldi's second difference is one sum over nine frames of the features, edges included.
    first = np.zeros((12, 1))
    first[5] = 1
    kernel = np.array([4, 4, 1, -4, -10, -4, 1, 4, 4]) / 100
    assert np.allclose(mfcc.add_deltas(first)[1:10, 2], kernel)


def test_short_recordings_have_no_frames():
    assert mfcc.mfcc39(np.zeros(399, np.float32)).shape == (0, 39)
    one = mfcc.mfcc39(noise(0.025, np.float32))
    assert one.shape == (1, 39) and np.abs(one[:, 13:]).max() < 1e-6


def sweep(samples, start=300.0, end=3300.0):
    """What `sox synth sine 300-3300` plays: its frequency grows by the same factor each second."""
    length = samples / RATE
    growth = np.log(end / start) / length
    time = np.arange(samples) / RATE
    return np.sin(2 * np.pi * start / growth * np.expm1(growth * time))


@pytest.mark.parametrize(
    ("key", "offset", "samples"),
    [("lbi-6241-61943-0000", 25996, 111200), ("lbi-8842-304647-0000", 35151, 155360)],
)
def test_kaldis_own_coefficients(data_root, key, offset, samples):
    """Of a sine sweep, with the dither of sox and Kaldi, whose random numbers nobody knows: most
    mel bins hold nothing but that, so single frames differ and figures over all frames agree."""
    path = data_root / "kaldi_truth/datadir/data/raw_mfcc_mini_librispeech2.1.ark"
    theirs = ark.read(f"{path}:{offset}", key)
    dither = 1.15 / 32768 * np.random.default_rng(0).standard_normal(samples)
    ours = mfcc.mfcc(sweep(samples) * 32767 / 32768 + dither, fbank.Options(num_mels=23))
    assert ours.shape == theirs.shape
    for number in range(mfcc.NUM_CEPS):
        slope = np.polyfit(ours[:, number], theirs[:, number], 1)[0]
        assert abs(slope - 1) < (0.06 if number else 0.25)
        assert np.corrcoef(ours[:, number], theirs[:, number])[0, 1] > (0.97 if number else 0.9)
        assert abs(np.mean(ours[:, number] - theirs[:, number])) < 2.5


def test_the_features_command_makes_them_and_says_so(tmp_path):
    data, arks = tmp_path / "data", tmp_path / "mfcc"
    data.mkdir()
    for name, seconds in (("a", 0.5), ("b", 0.3)):
        audio.save(tmp_path / f"{name}.wav", noise(seconds, np.float32), RATE)
    tables.write_table(data / "wav.scp", {name: f"{tmp_path}/{name}.wav" for name in "ab"})
    tables.write_table(data / "utt2spk", {"a": "a", "b": "b"})
    options = ["--data", str(data), "--arks", str(arks)]
    features.main([*options, "--kind", "mfcc"])
    assert feats_type.read(data) == "mfcc" and feats_type.frame_shift(data) == 0.01
    first = kaldi_dir.load(data)[0]
    assert first.feats_type == "mfcc"
    found = contents.read_features(first)
    assert np.allclose(found, mfcc.mfcc39(audio.load(tmp_path / "a.wav")), atol=1e-6)
    made = sorted(path.name for path in arks.iterdir())
    features.main([*options, "--kind", "mfcc"])
    assert sorted(path.name for path in arks.iterdir()) == made  # nothing is made again
    features.main(options)  # filterbanks take their place, and the dir no longer says mfcc
    assert feats_type.read(data) == "lfb" and kaldi_dir.load(data)[0].num_frames == 48
    assert not (data / "feats_type").exists() and not (data / "frame_shift").exists()
    with pytest.raises(InputError, match="--kind mfcc"):
        features.main([*options, "--kind", "mfcc", "--encoder", "moonshine-tiny"])
    with pytest.raises(InputError, match="atat features --kind mfcc"):
        feats_type.check(data, frontend.Mfcc())
