"""Makes miniature training confs: the same sources, tasks and switches, a tiny model, few steps.

    atat miniature_conf conf/*.yaml --out exp_mini/conf --move data data_mini

For the `--mini` runs of recipes, which show that every stage works but learn nothing. Knows no
recipe; settings that concern neither size nor duration are not changed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from atat.base import cli, config
from atat.engine import registry
from atat.engine.settings import RunSettings
from atat.nn.settings import (
    AudioEncoderSettings,
    DecoderSettings,
    TextEncoderSettings,
)
from atat.prepare.conf_copy import add_options, read
from atat.systems.joint.settings import ModelSettings, TrainSettings

STEPS = 6
EXAMPLES = 10  # so that a source with a tenth of the weights has one in each step
WIDTH = 32
SIZES: dict[str, Any] = {"layers": 1, "heads": 2, "feed_forward": 64}
UNFREEZE = ((1.0, 0.0), (1.0, 0.5))  # both phases of freezing fit into the few steps


def shrink(settings: RunSettings) -> RunSettings:
    """The same training in miniature; in fp32, which every CPU has.

    Of another system than joint only the number of steps and of examples: it has no sizes.
    """
    short = replace(
        settings,
        steps=STEPS,
        precision="fp32",
        batch=replace(settings.batch, examples=EXAMPLES, block=STEPS, short_first_steps=0),
        optim=replace(settings.optim, warmup=min(settings.optim.warmup, 2)),
        valid=replace(
            settings.valid, every=STEPS, decode=2, average=min(settings.valid.average, 2)
        ),
        init=replace(settings.init, unfreeze=UNFREEZE),
        checkpoint_every=STEPS // 2,
        workers=0,
    )
    if not isinstance(short, TrainSettings):
        return short
    return replace(short, model=shrink_model(short.model))


def shrink_model(model: ModelSettings) -> ModelSettings:
    """The smallest model with the same parts; BERT becomes a small encoder from scratch."""
    audio, text = model.audio_encoder, model.text_encoder
    return ModelSettings(
        width=WIDTH,
        audio_encoder=audio and _shrink_audio(audio),
        text_encoder=text and TextEncoderSettings(kind="small", units=text.units, **SIZES),
        decoder=DecoderSettings(**SIZES),
        ctc=model.ctc,
        bridge=model.bridge,
    )


def _shrink_audio(audio: AudioEncoderSettings) -> AudioEncoderSettings:
    """A pretrained speech encoder stays, with a tiny model over its states."""
    if audio.kind == "pretrained":
        return AudioEncoderSettings(
            kind="pretrained",
            mel_bins=audio.mel_bins,
            pretrained=audio.pretrained,
            stack=audio.stack,
            layers_read=audio.layers_read,
            layer_norm=audio.layer_norm,
            pretrained_layers=audio.pretrained_layers,
            trained=audio.trained,
            **SIZES,
        )
    return AudioEncoderSettings(
        mel_bins=audio.mel_bins,
        conv_channels=(4, 4),
        time_stride=(2, 2),
        freq_stride=(2, 2),
        time_pool=(1, 1),
        freq_pool=(1, 1),
        **SIZES,
    )


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat miniature_conf",
        description=cli.guide(
            "Write training confs in miniature: the same sources and tasks, a tiny model, a "
            "few steps.",
            "atat miniature_conf conf/*.yaml --out exp_mini/conf --move data data_mini",
            reads="training confs (YAML), and the encoder.",
            writes="a conf of the same name in OUT for each of them.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    add_options(parser)
    options = parser.parse_args(argv)
    for path, (out, content) in zip(options.confs, read(options).items()):
        system = registry.find(str(content.values.get("system", registry.DEFAULT)), str(path))
        settings = config.from_dict(content.values, system.settings, content.source_of)
        out.parent.mkdir(parents=True, exist_ok=True)
        config.save(out, shrink(settings))
        # What --set names is not shrunk.
        config.save(out, config.load(out, system.settings, options.set))
