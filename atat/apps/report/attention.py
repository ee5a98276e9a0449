"""What the decoder attends to while it writes: cross-attention under the spectrogram, by words.

For models of the joint system that read audio. The outputs are those that the decoding wrote,
given again (teacher forcing). Word times are the data dir's (`ctm`), or those of the model's CTC
head where the words are known. Knows nothing of scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from atat.apps.report.content import Block, Gallery, Note
from atat.apps.report.drawing import INK, Draw, Picture, shade, short
from atat.apps.report.experiment import Decoding
from atat.base.errors import InputError
from atat.base.pipes import is_pipe
from atat.datadir import contents
from atat.datadir.ctm import Word, read_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.scoring.score import Scored
from atat.speech.fbank import lfb
from atat.text.tasks import TASKS

if TYPE_CHECKING:
    from atat.systems.joint.packed import Packed
    from atat.text.tokenizer import Tokenizer

TOKENS = 40  # rows of a picture; a longer output is cut
SECONDS = 15.0  # of a recording; longer ones are not drawn
FRAME = 0.01  # s from one frame of the spectrogram to the next


class Looker:
    """Reads each model once."""

    def __init__(self) -> None:
        self._packed: dict[str, Packed] = {}

    def read(self, decoding: Decoding) -> Packed:
        """The model of a decoding. Raises InputError if it is not one that can be looked into."""
        folder = decoding.model_folder
        if decoding.task not in TASKS:
            raise InputError(
                f"it is drawn for the joint system only, which has no task {decoding.task}".rstrip()
            )
        if TASKS[decoding.task].source != "audio":
            raise InputError(f"task {decoding.task} reads no audio")
        if folder is None:
            raise InputError(f"the model of {decoding.folder} is not here")
        from atat.systems.joint.packed import read

        if str(folder) not in self._packed:
            self._packed[str(folder)] = read(folder)
        return self._packed[str(folder)]


def blocks(
    draw: Draw,
    decoding: Decoding,
    scored: Sequence[Scored],
    utterances: Mapping[str, Utterance],
    looker: Looker,
    count: int,
) -> Iterator[Block]:
    """Pictures of `count` utterances. Raises InputError if there is nothing to look into."""
    packed = looker.read(decoding)
    if not utterances:
        raise InputError(f"the data dir {decoding.data} is not here")
    times = _times(decoding)
    pictures, reasons = [], []
    for one in choose(scored, utterances, count):
        try:
            pictures.append(_picture(draw, decoding, packed, one, utterances[one.utt], times))
        except InputError as error:
            reasons.append(f"{one.utt}: {error}")
    if reasons:
        yield Note(f"Attention is not drawn for {'; '.join(reasons)}.")
    if "bridge" in decoding.name:
        yield Note("The decoder read the bridge's memory, too; drawn is the audio encoder's own.")
    if pictures:
        yield Gallery(tuple(pictures), wide=True)


def choose(
    scored: Sequence[Scored], utterances: Mapping[str, Utterance], count: int
) -> list[Scored]:
    """A right utterance of middle length, then wrong ones from the worst on; all can be drawn."""
    known = [
        one
        for one in scored
        if one.utt in utterances and one.hyp and (utterances[one.utt].duration or 0) <= SECONDS
    ]
    right = sorted((one for one in known if one.counts["em_full"][0]), key=lambda one: len(one.hyp))
    errors = "semer" if known and "semer" in known[0].counts else "wer"
    wrong = [one for one in known if not one.counts["em_full"][0]]
    wrong.sort(key=lambda one: (-one.counts.get(errors, (0, 0))[0], one.utt))
    first = right[len(right) // 2 : len(right) // 2 + 1]
    chosen = [*first, *wrong[: count - len(first)]]
    return (chosen + [one for one in right if one not in chosen])[:count]


def _times(decoding: Decoding) -> dict[str, list[Word]]:
    """Words with their times, of the data dir."""
    path = decoding.data_folder / "ctm" if decoding.data_folder else None
    return read_ctm(path) if path is not None and path.is_file() else {}


def _picture(
    draw: Draw,
    decoding: Decoding,
    packed: Packed,
    one: Scored,
    utterance: Utterance,
    times: Mapping[str, list[Word]],
) -> Picture:
    from atat.systems.joint.cross_attention import cross_attention, seconds_per_state

    tokenizer = packed.tokenizer
    target = TASKS[decoding.task].target
    ids = [*tokenizer.encode_target(one.hyp, target), tokenizer.eos_id]
    source = _source(packed, utterance)
    inputs = [tokenizer.task_id(decoding.task), *ids[:-1]]
    weights = cross_attention(packed.model, source, inputs).numpy()
    step = seconds_per_state(packed)
    words, origin = times.get(one.utt, []), "the data's ctm"
    if not words and utterance.text:
        words, origin = _aligned(packed, source, utterance.text), "the model's CTC head"
    spectrogram = _spectrogram(packed, utterance, source)
    return draw_attention(
        draw,
        f"{decoding.experiment}-attention-{one.utt}",
        one,
        _labels(tokenizer, ids, target),
        weights.mean(axis=(0, 1)),
        step,
        spectrogram,
        words,
        origin,
    )


def draw_attention(
    draw: Draw,
    name: str,
    one: Scored,
    labels: Sequence[str],
    weights: np.ndarray,
    step: float,
    spectrogram: np.ndarray | None,
    words: Sequence[Word],
    origin: str,
) -> Picture:
    """weights (U, S), a state every `step` seconds; spectrogram (T, F), a frame every 10 ms."""
    cut = len(labels) > TOKENS
    labels, weights = labels[:TOKENS], weights[:TOKENS]
    length = weights.shape[1] * step
    if spectrogram is not None:
        length = max(length, len(spectrogram) * FRAME)
    height = 1.4 + 0.215 * len(labels)
    panels = 2 if spectrogram is not None else 1
    ratios = [1.25, height - 1.25][-panels:]
    figure, axes = draw.axes(
        8.6, height + 1.1, nrows=panels, sharex=True, squeeze=False, height_ratios=ratios
    )
    lower = axes[-1, 0]
    # Each row by its largest weight: what counts is where, not how much beside other rows.
    scaled = weights / np.maximum(weights.max(1, keepdims=True), 1e-9)
    lower.imshow(
        shade(scaled), interpolation="none", aspect="auto",
        extent=(0, weights.shape[1] * step, len(labels) - 0.5, -0.5),
    )  # fmt: skip
    lower.set_yticks(range(len(labels)), [short(label, 24) for label in labels], fontsize=9)
    lower.set_ylabel("written, from top to bottom")
    lower.set_xlabel("time (s)")
    lower.set_xlim(0, length)
    if spectrogram is not None:
        upper = axes[0, 0]
        upper.imshow(
            _coloured(spectrogram), interpolation="none", aspect="auto", origin="lower",
            extent=(0, len(spectrogram) * FRAME, 0, spectrogram.shape[1]),
        )  # fmt: skip
        upper.set_ylabel("mel band")
        upper.set_yticks([0, spectrogram.shape[1]])
        upper.tick_params(labelbottom=False)
    for panel in axes[:, 0]:
        panel.grid(False)
        for word in words:
            for moment in (word.start, word.end):
                panel.axvline(moment, color=INK, linewidth=0.5, alpha=0.55)
    for word in words:
        axes[0, 0].text(
            (word.start + word.end) / 2, 1.02, short(word.text, 14), ha="center", va="bottom",
            rotation=40 if len(words) > 8 else 0, fontsize=9,
            transform=axes[0, 0].get_xaxis_transform(),
        )  # fmt: skip
    state = "right" if one.counts["em_full"][0] else "wrong"
    caption = f"{one.utt} ({state}). Mean of all heads and layers, each row by its largest weight."
    caption += f" Word times: {origin}." if words else " No word times."
    caption += f" The first {TOKENS} outputs." if cut else ""
    places = [
        f"{label} at {step * (row.argmax() + 0.5):.1f} s" for label, row in zip(labels, weights)
    ]
    return draw.finish(
        figure, name, f"Attention of {one.utt}, {state}: {', '.join(places[:20])}", caption
    )


def _source(packed: Packed, utterance: Utterance) -> np.ndarray:
    """What the model reads: features (T, F) of the data dir or of its front end, or samples."""
    if utterance.feats is not None and not packed.frontend.within:
        from atat.speech.frontend import alike

        if alike(utterance.feats_type, packed.frontend.kind):
            return contents.read_features(utterance)
    return packed.frontend(_samples(utterance))


def _samples(utterance: Utterance) -> np.ndarray:
    if utterance.wav is None:
        raise InputError("the data dir has no recordings")
    if is_pipe(utterance.wav):
        raise InputError("wav.scp has a shell command, which is not run here")
    return contents.read_recording(utterance)


def _spectrogram(packed: Packed, utterance: Utterance, source: np.ndarray) -> np.ndarray | None:
    """Log-mel energies (T, F) of the recording, or the features if these are filterbanks."""
    try:
        return lfb(_samples(utterance))
    except InputError:
        from atat.speech.frontend import LFB

        return source if packed.frontend.kind == LFB else None


def _coloured(spectrogram: np.ndarray) -> np.ndarray:
    """Log energies (T, F) -> RGBA (F, T, 4) in colours that grow evenly in lightness."""
    from matplotlib import colormaps

    low, high = np.percentile(spectrogram, [5, 99.5])
    scaled = np.clip((spectrogram.T - low) / max(high - low, 1e-6), 0, 1)
    found: np.ndarray = colormaps["magma"](scaled)
    return found


def _aligned(packed: Packed, source: np.ndarray, text: str) -> list[Word]:
    """Word times by the CTC head; empty if it has none, or cannot align them."""
    from atat.prepare.align_model import ModelAligner, has_ctc

    if not has_ctc(packed) or source.ndim != 2:
        return []
    found = ModelAligner("", packed=packed).align_features([source], [text])[0]
    return [] if isinstance(found, str) else found


def _labels(tokenizer: Tokenizer, ids: Sequence[int], target: Any) -> list[str]:
    """The outputs in words: tags, pieces (a piece inside a word begins with +), and the end."""
    labels = []
    for id_ in ids:
        if id_ == tokenizer.eos_id:
            labels.append("(end)")
            continue
        text = tokenizer.decode([id_], target) or "_"
        inside = not tokenizer.is_symbol(id_) and not tokenizer.is_word_start(id_)
        labels.append(f"+{text}" if inside else text)
    return labels
