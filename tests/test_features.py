"""Arks and the LFB stage: written is read, resumed is uninterrupted, what is lost is counted."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from waiting import until

from atat.base import parallel
from atat.base.errors import InputError
from atat.datadir import ark, cmvn, features, kaldi_dir, tables
from atat.datadir.feature_arks import Settings
from atat.speech import audio
from atat.speech.fbank import lfb

# --- arks


def matrices(count: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {f"u{i}": rng.normal(3, 4, (10 + 30 * i, 80)).astype(np.float32) for i in range(count)}


@pytest.mark.parametrize("compress", [False, True])
def test_written_is_read(tmp_path: Path, compress: bool) -> None:
    with ark.Writer(tmp_path / "a.ark", tmp_path / "a.scp", compress=compress) as write:
        for key, matrix in matrices().items():
            write(key, matrix)
    assert ark.load_scp(tmp_path / "a.scp") == write.specifiers
    for key, specifier in write.specifiers.items():
        matrix = ark.read(specifier)
        assert matrix.dtype == np.float32 and matrix.flags.writeable
        np.testing.assert_allclose(matrix, matrices()[key], atol=0.15 if compress else 0)


def test_ranges_are_rows_and_columns_with_both_ends(tmp_path: Path) -> None:
    with ark.Writer(tmp_path / "a.ark") as write:
        write("u", matrices()["u2"])
    where = write.specifiers["u"]
    np.testing.assert_array_equal(ark.read(f"{where}[3:9]"), matrices()["u2"][3:10])
    np.testing.assert_array_equal(ark.read(f"{where}[3:9,2:4]"), matrices()["u2"][3:10, 2:5])
    np.testing.assert_array_equal(ark.read(f"{where}[,2:4]"), matrices()["u2"][:, 2:5])


def test_a_range_beyond_the_matrix_is_named(tmp_path: Path) -> None:
    with ark.Writer(tmp_path / "a.ark") as write:
        write("u", matrices()["u2"][:10])
    where = write.specifiers["u"]
    assert len(ark.read(f"{where}[5:12]")) == 5  # as far beyond it as Kaldi allows
    for wrong in ("[5:13]", "[10:11]", "[5:3]", "[1:]", "[:3]", "[0:3,0:80]", "[0:1,0:1,0:1]"):
        for read in (ark.read, ark.summarize):
            with pytest.raises(InputError, match=r"no such range in an array of shape \(10, 80\)"):
                read(where + wrong)


def specifiers_of(path: Path) -> dict[str, str]:
    """Where each matrix of a binary or text ark starts, found by the ids of its utterances."""
    data = path.read_bytes()
    keys = ["AMI_ES2011a_H00_FEE041_0003427_0003714", "AMI_ES2011a_H00_FEE041_0003714_0003915"]
    return {key: f"{path}:{data.index(key.encode()) + len(key) + 1}" for key in keys}


def test_arks_of_real_kaldi_are_read(data_root: Path) -> None:
    folder = data_root / "kaldi_truth/arks"
    plain, text, compressed = (
        specifiers_of(folder / name)
        for name in ("feats.ark", "feats_ascii.ark", "feats_compressed.ark")
    )
    for key, frames in zip(plain, (285, 199)):
        matrix = ark.read(plain[key])
        assert matrix.shape == (frames, 13)
        np.testing.assert_allclose(ark.read(text[key]), matrix, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(ark.read(compressed[key]), matrix, atol=0.5)


def test_our_fast_decompression_is_kaldiios(data_root: Path) -> None:
    kaldiio = pytest.importorskip("kaldiio")
    specifiers = ark.load_scp(data_root / "kaldi_truth/datadir/feats.scp")
    assert len(specifiers) == 3
    frames = tables.read_table(data_root / "kaldi_truth/datadir/utt2num_frames")
    for key, specifier in specifiers.items():
        matrix = ark.read(specifier)
        assert len(matrix) == int(frames[key])
        np.testing.assert_allclose(matrix, kaldiio.load_mat(specifier), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("compress", [False, True])
def test_bad_specifiers_say_so(tmp_path: Path, compress: bool) -> None:
    with ark.Writer(tmp_path / "a.ark", compress=compress) as write:
        write("u", matrices()["u2"])
    with pytest.raises(InputError, match="No such file"):
        ark.read(tmp_path / "b.ark:2")
    with pytest.raises(InputError, match="shell pipes are not run"):
        ark.read("cat a.ark |")
    for wrong in (f"{tmp_path}/a.ark:5", f"{tmp_path}/a.ark:99999999"):
        with pytest.raises(InputError, match="no whole matrix is stored there"):
            ark.read(wrong)
    os.truncate(tmp_path / "a.ark", 2000)
    with pytest.raises(InputError, match="no whole matrix is stored there"):
        ark.read(write.specifiers["u"])


def test_pickles_in_arks_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.ark").write_bytes(b"u PKL\x80\x04N.")
    with pytest.raises(InputError, match="neither a binary nor a text matrix"):
        ark.read(f"{tmp_path}/a.ark:2")


def test_an_error_while_writing_leaves_the_old_files(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        try:
            with ark.Writer(tmp_path / "a.ark", tmp_path / "a.scp") as write:
                write("u", np.full((3, 2), value, np.float32))
                if value == 2.0:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
    assert ark.read(ark.load_scp(tmp_path / "a.scp")["u"])[0, 0] == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ark", "a.scp"]


# --- the stage


def write_data(folder: Path, seconds: dict[str, float], first_seed: int = 0) -> Path:
    """A data dir of utterances of noise with these lengths (s)."""
    data = folder / "train"
    for seed, (key, length) in enumerate(seconds.items(), first_seed):
        samples = np.random.default_rng(seed).normal(0, 0.1, int(length * 16000))
        audio.save(folder / f"wavs/{key}.wav", samples)
    tables.write_table(data / "wav.scp", {key: str(folder / f"wavs/{key}.wav") for key in seconds})
    tables.write_table(data / "utt2spk", dict.fromkeys(seconds, "s"))
    return data


def mtimes(arks: Path) -> dict[str, int]:
    """When each file of the folder was written, but for the lock, which every run writes."""
    return {path.name: path.stat().st_mtime_ns for path in arks.iterdir() if path.name != ".lock"}


def assert_complete(data: Path, num_mels: int = 80, atol: float = 0.0) -> None:
    """The data dir loads, and every utterance's features are those of its audio."""
    utterances = kaldi_dir.load(data)
    for utterance in utterances:
        samples = audio.load(str(utterance.wav), utterance.start, utterance.end)
        found = ark.read(str(utterance.feats))
        np.testing.assert_allclose(found, lfb(samples, num_mels=num_mels), atol=atol)
        assert utterance.num_frames == len(found)
        assert utterance.duration == pytest.approx(len(samples) / 16000, abs=1e-6)
    assert len(utterances) == len(tables.read_table(data / "utt2spk"))


LENGTHS = {f"s-{i:02}": 0.3 + 0.05 * i for i in range(10)}


def test_the_stage_is_done_once_whatever_nj(tmp_path: Path) -> None:
    data, arks = write_data(tmp_path, LENGTHS), tmp_path / "lfb"
    features.make(data, arks, nj=2)
    assert_complete(data)
    before = mtimes(arks)
    features.make(data, arks, nj=3)
    assert mtimes(arks) == before


def test_processes_make_the_features_that_one_makes(tmp_path: Path) -> None:
    lengths = {f"s-{i:02}": 0.3 + 0.01 * i for i in range(3 * parallel.LEAST)}
    data, found = write_data(tmp_path, lengths), []
    for nj in (1, 3):
        features.make(data, tmp_path / f"lfb{nj}", nj=nj)
        places = tables.read_table(data / "feats.scp")
        assert all(f"/lfb{nj}/" in place for place in places.values())
        found.append({key: ark.read(place).tobytes() for key, place in places.items()})
    assert found[0] == found[1] and len(found[0]) == len(lengths)


def test_a_dir_that_has_grown_or_changed_makes_only_what_is_new(tmp_path: Path) -> None:
    data, arks = write_data(tmp_path, LENGTHS), tmp_path / "lfb"
    features.make(data, arks)
    before = mtimes(arks)
    audio.save(tmp_path / "wavs/s-03.wav", np.ones(8000) / 2)
    audio.save(tmp_path / "wavs/s-new.wav", np.ones(9000) / 2)
    for name, value in (("wav.scp", f"{tmp_path}/wavs/s-new.wav"), ("utt2spk", "s")):
        tables.write_table(data / name, tables.read_table(data / name) | {"s-new": value})
    features.make(data, arks, nj=2)
    assert_complete(data)
    after = mtimes(arks)
    assert before.items() <= after.items()
    new = [path for path in arks.glob("*.made") if path.name not in before]
    assert sorted(key for path in new for key in tables.read_table(path)) == ["s-03", "s-new"]


def test_other_options_make_other_features(tmp_path: Path) -> None:
    data, arks = write_data(tmp_path, {"s-1": 1.0, "s-2": 0.5}), tmp_path / "lfb"
    features.make(data, arks)
    features.make(data, arks, settings=Settings(num_mels=40, compress=True))
    assert_complete(data, num_mels=40, atol=0.15)


def test_arks_may_be_moved_or_deleted(tmp_path: Path) -> None:
    data, arks = write_data(tmp_path, {"s-1": 1.0, "s-2": 0.5}), tmp_path / "lfb"
    features.make(data, arks)
    moved = arks.rename(tmp_path / "moved")
    before = mtimes(moved)
    features.make(data, moved)
    assert_complete(data)
    assert mtimes(moved) == before
    for path in moved.glob("*.1.ark"):
        path.unlink()
    features.make(data, moved)
    assert_complete(data)


@pytest.mark.parametrize("compress", [False, True])
def test_an_ark_that_was_cut_off_is_made_again(
    tmp_path: Path, compress: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    data, arks = write_data(tmp_path, {"s-1": 1.0, "s-2": 0.5}), tmp_path / "lfb"
    settings = Settings(compress=compress)
    features.make(data, arks, settings=settings)
    before = mtimes(arks)
    features.make(data, arks, settings=settings)
    assert mtimes(arks) == before
    path = arks / "raw_lfb_train.2.ark"
    for size in (path.stat().st_size - 1, 10):
        os.truncate(path, size)
        features.make(data, arks, settings=settings)
        assert "raw_lfb_train.2.ark cannot be read" in capsys.readouterr().err
        assert_complete(data, atol=0.15 if compress else 0)
        for newer in arks.glob("raw_lfb_train.[3-9].*"):  # so that the damaged one counts again
            newer.unlink()


def test_a_new_ark_is_not_told_by_the_files_of_a_deleted_one(tmp_path: Path) -> None:
    data, arks = write_data(tmp_path, {"s-1": 1.0, "s-2": 0.5}), tmp_path / "lfb"
    features.make(data, arks)
    (arks / "raw_lfb_train.2.ark").unlink()
    features.make(data, arks)
    assert (arks / "raw_lfb_train.3.ark").exists() and not (arks / "raw_lfb_train.2.ark").exists()
    assert_complete(data)


def test_segments_are_cut_from_their_recording(tmp_path: Path) -> None:
    data = write_data(tmp_path, {"rec": 3.0})
    segments = {"s-a": "rec 0.5 1.25", "s-b": "rec 1.25 3.2", "s-c": "rec 2.5 -1"}
    tables.write_table(data / "segments", segments)
    tables.write_table(data / "utt2spk", dict.fromkeys(segments, "s"))
    features.make(data, tmp_path / "lfb")
    assert_complete(data)
    durations = tables.read_table(data / "utt2dur")
    assert durations == {"s-a": "0.75", "s-b": "1.75", "s-c": "0.5"}


def test_shell_commands_in_wav_scp_run_only_when_allowed(tmp_path: Path) -> None:
    data = write_data(tmp_path, {"s-1": 0.5})
    tables.write_table(data / "wav.scp", {"s-1": f"cat {tmp_path}/wavs/s-1.wav |"})
    with pytest.raises(InputError, match="wav.scp:1: 's-1' is a shell command"):
        features.make(data, tmp_path / "lfb")
    features.make(data, tmp_path / "lfb", settings=Settings(allow_pipes=True))
    assert tables.read_table(data / "utt2num_frames") == {"s-1": "48"}


def test_a_pipe_runs_once_for_segments_that_follow_each_other(tmp_path: Path) -> None:
    data = write_data(tmp_path, {"rec": 3.0})
    segments = {f"s-{n}": f"rec {n / 4} {n / 4 + 0.25}" for n in range(8)}
    tables.write_table(data / "segments", segments)
    tables.write_table(data / "utt2spk", dict.fromkeys(segments, "s"))
    runs = tmp_path / "runs"
    command = f"echo >> {runs}; cat {tmp_path}/wavs/rec.wav |"
    tables.write_table(data / "wav.scp", {"rec": command})
    features.make(data, tmp_path / "lfb", settings=Settings(allow_pipes=True))
    assert len(runs.read_text()) == 4  # arks
    heard = {key: ark.read(value) for key, value in ark.load_scp(data / "feats.scp").items()}
    tables.write_table(data / "wav.scp", {"rec": f"{tmp_path}/wavs/rec.wav"})
    features.make(data, tmp_path / "lfb")
    for key, value in ark.load_scp(data / "feats.scp").items():
        np.testing.assert_array_equal(ark.read(value), heard[key])


def test_nothing_is_written_if_nothing_gives_features(tmp_path: Path) -> None:
    data, arks = write_data(tmp_path, {"s-1": 0.01, "s-2": 0.02}), tmp_path / "lfb"
    tables.write_table(data / "feats.scp", {"s-1": "/old.ark:4", "s-2": "/old.ark:9"})
    before = mtimes(data)
    with pytest.raises(InputError, match="no utterance would be left; nothing was changed"):
        features.make(data, arks, max_lost=1.0)
    assert mtimes(data) == before
    for name in ("utt2spk", "wav.scp"):
        (data / name).write_text("")
    with pytest.raises(InputError, match="utt2spk: empty, there is nothing to make features of"):
        features.make(data, arks)


def test_too_much_lost_stops_and_says_what(tmp_path: Path) -> None:
    data, arks = write_data(tmp_path, {"s-1": 1.0, "s-2": 0.02, "s-3": 1.0}), tmp_path / "lfb"
    (tmp_path / "wavs/s-3.wav").write_text("not audio")
    with pytest.raises(InputError, match=r"2 of 3 utterances give no features") as caught:
        features.make(data, arks)
    assert "s-2: lasts 0.0200 s, shorter than one frame" in str(caught.value)
    assert "s-3.wav: cannot be read as audio" in str(caught.value)
    assert not (data / "feats.scp").exists()
    assert sorted(tables.read_table(arks / "raw_lfb_train.lost")) == ["s-2", "s-3"]


def test_samples_beyond_any_recording_and_endless_segments_are_named(tmp_path: Path) -> None:
    data = write_data(tmp_path, {"s-1": 1.0, "s-2": 1.0})
    samples = np.zeros(16000, np.float32)
    samples[8000] = 1e30
    soundfile.write(tmp_path / "wavs/s-2.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(InputError, match=r"s-2: .*s-2.wav: holds a sample of 1e\+30 at 0.500 s"):
        features.make(data, tmp_path / "lfb")
    for end in ("inf", "1e308", "nan"):
        tables.write_table(data / "segments", {"s-1": "s-1 0 0.5", "s-2": f"s-1 0.5 {end}"})
        with pytest.raises(InputError, match="segments:2: found times|s-2: .* cannot be cut"):
            features.make(data, tmp_path / "lfb")


def test_what_is_lost_within_the_limit_is_listed_and_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, arks = write_data(tmp_path, {"s-1": 1.0, "s-2": 0.02, "s-3": 1.0}), tmp_path / "lfb"
    text = {"s-1": "one", "s-2": "two", "s-3": "three"}
    tables.write_table(data / "text", text)
    tables.write_table(data / "spk2utt", {"s": "s-1 s-2 s-3"})
    features.make(data, arks, max_lost=0.4)
    message = capsys.readouterr().err
    assert "1 of 3 utterances give no features" in message and "s-2: lasts" in message
    assert [utterance.id for utterance in kaldi_dir.load(data)] == ["s-1", "s-3"]
    assert_complete(data)
    assert tables.read_table(data / ".backup/text") == text


def run_stage(data: Path, arks: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "atat",
        "features",
        "--data",
        str(data),
        "--arks",
        str(arks),
    ]
    return subprocess.Popen(
        [*command, *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(features.__file__).parents[1],
    )


def test_a_full_disk_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    data, arks = write_data(tmp_path, LENGTHS), tmp_path / "lfb"
    arks.mkdir()
    # Ten utterances go into four arks; the disk is full when the third is written.
    (arks / "raw_lfb_train.3.ark.tmp").symlink_to("/dev/full")
    stage = run_stage(data, arks)
    message = stage.communicate()[1]
    assert stage.returncode == 1
    assert "the disk is full while writing" in message and "raw_lfb_train.3.ark" in message
    assert "Traceback" not in message
    before = mtimes(arks)
    assert {"raw_lfb_train.1.made", "raw_lfb_train.2.made"} <= set(before)
    assert not (data / "feats.scp").exists()
    features.make(data, arks)
    assert before.items() <= mtimes(arks).items()
    assert_complete(data)


def test_arks_that_a_killed_run_did_not_finish_go(tmp_path: Path) -> None:
    data, arks = write_data(tmp_path, {"s-1": 0.5}), tmp_path / "lfb"
    arks.mkdir()
    for name in (
        "raw_lfb_train.7.ark",
        "raw_lfb_train.7.scp",
        "raw_lfb_train.8.ark",
        "raw_lfb_train.9.ark.tmp",
        "raw_lfb_train.9.scp.tmp",
    ):
        (arks / name).touch()
    others = {"raw_lfb_trains.7.ark", "raw_lfb_dev.7.ark", "mine.ark", "mine.tmp"}
    for name in others:
        (arks / name).touch()
    features.make(data, arks)
    left = {f"raw_lfb_train.9.{kind}" for kind in ("ark", "scp", "made")}
    assert set(mtimes(arks)) == others | left
    assert_complete(data)


def test_interrupted_and_continued_is_uninterrupted(tmp_path: Path) -> None:
    data, arks = write_data(tmp_path, LENGTHS), tmp_path / "lfb"
    # The last utterance waits until the stage has been interrupted, however slow the machine is.
    gate, wavs = tmp_path / "gate", tables.read_table(data / "wav.scp")
    last = max(wavs)
    wavs[last] = f"while [ ! -e {gate} ]; do sleep 0.05; done; cat {wavs[last]} |"
    tables.write_table(data / "wav.scp", wavs)
    stage = run_stage(data, arks, "--allow_pipes")
    until(lambda: list(arks.glob("*.made")) or stage.poll() is not None, "the first shard")
    stage.send_signal(signal.SIGINT)
    gate.mkdir()  # no file, which would be a part of what the pipe reads
    message = stage.communicate()[1]
    assert stage.returncode == 130 and "run the same command again" in message
    assert "Traceback" not in message
    assert not (data / "feats.scp").exists()
    assert not list(arks.glob("*.tmp"))
    before = mtimes(arks)
    features.make(data, arks, settings=Settings(allow_pipes=True))
    assert before.items() <= mtimes(arks).items()
    assert sum(len(tables.read_table(path)) for path in arks.glob("*.made")) == len(LENGTHS)
    assert list(tables.read_table(data / "feats.scp")) == list(LENGTHS)


# --- global CMVN


def test_cmvn_makes_zero_mean_and_unit_variance(tmp_path: Path) -> None:
    everything = np.concatenate(list(matrices().values())).astype(np.float64)
    stats = cmvn.accumulate(matrices().values())
    assert stats.shape == (2, 81) and stats[0, -1] == len(everything)
    ark.write_matrix(tmp_path / "cmvn.ark", stats)
    np.testing.assert_array_equal(ark.read(tmp_path / "cmvn.ark"), stats)
    mean, inverse_std = cmvn.load(tmp_path / "cmvn.ark")
    normalised = (everything - mean) * inverse_std
    np.testing.assert_allclose(normalised.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(axis=0), 1, atol=1e-5)


def test_cmvn_of_parts_adds_up_and_constant_bins_stay_finite() -> None:
    parts = [cmvn.accumulate([matrix]) for matrix in matrices().values()]
    np.testing.assert_allclose(sum(parts), cmvn.accumulate(matrices().values()))
    mean, inverse_std = cmvn.to_mean_and_scale(cmvn.accumulate([np.full((5, 3), 7.0, np.float32)]))
    assert (mean == 7.0).all() and np.isfinite(inverse_std).all()


def test_cmvn_of_arks_is_cmvn_of_their_audio(tmp_path: Path) -> None:
    data = write_data(tmp_path, {"s-1": 1.0, "s-2": 0.5})
    cmvn.main(["--data", str(data), "--out", str(tmp_path / "wav.ark")])
    features.make(data, tmp_path / "lfb")
    cmvn.main(["--data", str(data), "--out", str(tmp_path / "feats.ark")])
    for path in ("wav.ark", "feats.ark"):
        assert cmvn.load(tmp_path / path)[0].shape == (80,)
    np.testing.assert_allclose(ark.read(tmp_path / "wav.ark"), ark.read(tmp_path / "feats.ark"))


def test_cmvn_names_what_is_no_statistics(tmp_path: Path) -> None:
    ark.write_matrix(tmp_path / "a.ark", np.zeros((5, 80), np.float32))
    with pytest.raises(InputError, match=r"shape \(5, 80\), expected global CMVN"):
        cmvn.load(tmp_path / "a.ark")
    ark.write_matrix(tmp_path / "b.ark", np.zeros((2, 0), np.float32))
    with pytest.raises(InputError, match=r"shape \(2, 0\), expected global CMVN"):
        cmvn.load(tmp_path / "b.ark")
    with pytest.raises(InputError, match="no features"):
        cmvn.accumulate([])
    with pytest.raises(InputError, match="--num_mels is 0; expected 1 or more"):
        cmvn.main(["--data", "train", "--out", str(tmp_path / "c.ark"), "--num_mels", "0"])


def test_only_what_gives_no_features_is_dropped(tmp_path: Path) -> None:
    """Whatever else is wrong with a data dir, it is not half changed."""
    data = write_data(tmp_path, LENGTHS)
    first, second, *rest = LENGTHS
    (tmp_path / f"wavs/{first}.wav").write_bytes(b"")
    tables.write_table(data / "text", {**dict.fromkeys(LENGTHS, "a"), second: ""})
    features.make(data, tmp_path / "arks", max_lost=0.1)
    for name in ("feats.scp", "utt2dur", "utt2spk", "wav.scp", "text"):
        assert list(tables.read_table(data / name)) == [second, *rest]
    assert (data / ".backup").is_dir()


def test_words_in_another_encoding_are_not_written_anew(tmp_path: Path) -> None:
    data = write_data(tmp_path, LENGTHS)
    (tmp_path / f"wavs/{next(iter(LENGTHS))}.wav").write_bytes(b"")
    text = "".join(f"{key} caf\xe9\n" for key in LENGTHS).encode("latin-1")
    (data / "text").write_bytes(text)
    with pytest.raises(InputError, match="text:1: .* --drop_undecodable"):
        features.make(data, tmp_path / "arks", max_lost=0.1)
    assert (data / "text").read_bytes() == text and not (data / "feats.scp").exists()


def test_a_pipe_is_heard_again_when_its_file_has_changed(tmp_path: Path) -> None:
    data = write_data(tmp_path, {"s-0": 0.5})
    path = tmp_path / "wavs/s-0.wav"
    tables.write_table(data / "wav.scp", {"s-0": f"cat '{path}' |"})
    for seconds in (0.5, 0.7):
        audio.save(path, np.zeros(int(seconds * 16000)) + 0.1)
        features.make(data, tmp_path / "arks", settings=Settings(allow_pipes=True))
        assert float(tables.read_table(data / "utt2dur")["s-0"]) == pytest.approx(seconds)


def test_vectors_have_no_mean_of_frames(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found a vector of 5 values, as i-vectors are"):
        cmvn.accumulate([np.zeros(5, np.float32)])


def test_a_data_dir_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_data(tmp_path, LENGTHS)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(data))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(InputError, match=f"{data}: its tables .* name a folder that you may write"):
        features.make(data, tmp_path / "arks")
    assert not (tmp_path / "arks").exists()
