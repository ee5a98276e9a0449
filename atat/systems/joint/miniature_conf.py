"""Makes miniature training confs: the same sources, tasks and switches, a tiny model, few steps.

    atat miniature_conf conf/*.yaml --out exp_mini/conf --move data data_mini

For the `--mini` runs of recipes, which show that every stage works but learn nothing. Knows no
recipe; settings that concern neither size nor duration are not changed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from atat.base import cli, config
from atat.nn.settings import (
    AudioEncoderSettings,
    CtcSettings,
    DecoderSettings,
    TextEncoderSettings,
)
from atat.prepare.conf_copy import add_options, copy_path, moved
from atat.systems.joint.settings import ModelSettings, TrainSettings

STEPS = 6
EXAMPLES = 10  # so that a source with a tenth of the weights has one in each step
WIDTH, LAYERS, HEADS, FEED_FORWARD = 32, 1, 2, 64
UNFREEZE = ((1.0, 0.0), (1.0, 0.5))  # both phases of freezing fit into the few steps


def shrink(settings: TrainSettings) -> TrainSettings:
    """The same training in miniature; in fp32, which every CPU has."""
    return replace(
        settings,
        steps=STEPS,
        precision="fp32",
        model=shrink_model(settings.model),
        batch=replace(settings.batch, examples=EXAMPLES, block=STEPS, short_first_steps=0),
        optim=replace(settings.optim, warmup=2),
        valid=replace(
            settings.valid, every=STEPS, decode=2, average=min(settings.valid.average, 2)
        ),
        init=replace(settings.init, unfreeze=UNFREEZE),
        checkpoint_every=STEPS // 2,
        workers=0,
    )


def shrink_model(model: ModelSettings) -> ModelSettings:
    """The smallest model with the same parts; BERT becomes a small encoder from scratch."""
    audio, text = model.audio_encoder, model.text_encoder
    sizes: dict[str, Any] = {"layers": LAYERS, "heads": HEADS, "feed_forward": FEED_FORWARD}
    return ModelSettings(
        width=WIDTH,
        audio_encoder=audio
        and AudioEncoderSettings(
            kind="pretrained" if audio.kind == "pretrained" else "transformer",
            pretrained=audio.pretrained,
            stack=audio.stack,
            layers_read=audio.layers_read,
            layer_norm=audio.layer_norm,
            trained=audio.trained,
            mel_bins=audio.mel_bins,
            conv_channels=(4, 4),
            time_stride=(2, 2),
            freq_stride=(2, 2),
            time_pool=(1, 1),
            freq_pool=(1, 1),
            **sizes,
        ),
        text_encoder=text and TextEncoderSettings(kind="small", units=text.units, **sizes),
        decoder=DecoderSettings(**sizes),
        ctc=CtcSettings(weight=model.ctc.weight, units=model.ctc.units),
        bridge=model.bridge,
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="atat miniature_conf",
        description=cli.guide(
            "Write training confs in miniature: the same sources and tasks, a tiny model, a "
            "few steps.",
            "atat miniature_conf conf/*.yaml --out exp_mini/conf --move data data_mini",
            reads="training confs of system joint (YAML).",
            writes="a conf of the same name in OUT for each of them.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    add_options(parser)
    options = parser.parse_args(argv)
    for path in options.confs:
        out = copy_path(path, options.out)
        content = config.read(path, options.set)
        values = moved(content.values, *options.move) if options.move else content.values
        settings = config.from_dict(values, TrainSettings, content.source_of)
        out.parent.mkdir(parents=True, exist_ok=True)
        config.save(out, shrink(settings))
