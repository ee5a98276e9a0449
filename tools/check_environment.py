"""Import every package that requirements.txt names, and say which one cannot be.

Called at the end of install.sh. It knows nothing of versions: pip has seen to those, except
that torchaudio needs torch's CUDA libraries, which shows when it is loaded.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys

MODULES = """
    torch torchaudio numpy yaml safetensors tqdm sentencepiece transformers soundfile soxr scipy
    starlette uvicorn python_multipart kaldiio omniio.kaldi praatio pocketsphinx espeakng_loader
    pycrfsuite jiwer onnxruntime onnx onnxscript tensorboard configargparse editdistance
    humanfriendly packaging torch_complex typeguard espnet2.asr.encoder.transformer_encoder
    matplotlib jinja2 hypothesis submitit mkdocs material mkdocstrings mkdocstrings_handlers.python
    mypy pytest xdist atat
""".split()


def main() -> None:
    """Exit with 1 when an import fails, naming module and reason for each."""
    failures: list[str] = []
    # Quietly: espnet announces every optional package that it lacks.
    quiet = io.StringIO()
    with contextlib.redirect_stderr(quiet), contextlib.redirect_stdout(quiet):
        for name in MODULES:
            try:
                importlib.import_module(name)
            except (ImportError, OSError, AttributeError) as error:
                failures.append(f"{name} cannot be imported: {error}")
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
