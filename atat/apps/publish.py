"""Upload a packed model to the Hugging Face hub, from where everyone it is for can load it by name.

    atat publish exp/joint/model --to OWNER/NAME

In private unless --public says otherwise. Only the files of a packed model go, and no pickles:
what is loaded by name must not be able to run code.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from atat.base import checksums, cli
from atat.base.errors import InputError
from atat.engine import named_model

PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".py")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat publish",
        description=cli.guide(
            "Upload a packed model to the Hugging Face hub. In private, unless --public is given. "
            "Log in before: hf auth login. Read its card first (`atat card`): the licences of its "
            "data are yours to keep.",
            "atat publish exp/joint/model --to anna/coffee",
            "atat recognize anna/coffee order.wav",
            reads="MODEL, a packed model.",
            writes="nothing here; on the hub OWNER/NAME with the files of the model. What else is "
            "in that repository is removed.",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    named_model.add_argument(parser)
    add("--to", required=True, metavar="OWNER/NAME", help="its name on the hub")
    add(
        "--public",
        action="store_true",
        help="for everyone, also if it is there and private (default: only for you)",
    )
    options = parser.parse_args(argv)
    print(publish(options.model, options.to, public=options.public))


def publish(model: str | Path, name: str, *, public: bool = False) -> str:
    """Upload a packed model; returns where it is, in words.

    Raises InputError for a folder that holds anything else, a name that is none, a repository of
    that name that is public although `public` is not asked for, and what the hub answers.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"--to {name}: expected OWNER/NAME, such as anna/coffee")
    folder = named_model.find(model)
    names = files_of(folder)
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise InputError(
            "the client of the hub is not installed: pip install huggingface_hub"
        ) from None
    hub = HfApi()
    try:
        hub.create_repo(name, private=not public, exist_ok=True)
        if not public and not hub.repo_info(name).private:
            raise InputError(
                f"--to {name}: is there and public; give --public, or make it private on its page"
            )
        hub.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=names,
            delete_patterns="*",  # of an earlier version; SHA256SUMS does not name them
            commit_message="atat publish",
        )
        if public and hub.repo_info(name).private:  # it was there before
            hub.update_repo_settings(name, private=False)
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        mend = {
            401: "log in: hf auth login",
            403: "your token may not write there: give a name of your own, or another token",
            409: "give another name",
        }
        raise InputError(
            f"--to {name}: the hub refuses ({str(error).splitlines()[0]}); "
            f"{mend.get(status or 0, 'try again later')}"
        ) from None
    except InputError:
        raise
    except Exception as error:  # its client raises those of several libraries: no connection ...
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"--to {name}: cannot be uploaded ({reason}); log in with `hf auth login`, or try "
            "again with a connection"
        ) from None
    seen = "everyone" if public else "you alone"
    return f"{hub.endpoint}/{name}: {len(names)} files, for {seen}; atat recognize {name} order.wav"


def files_of(folder: Path) -> list[str]:
    """The files of a packed model that travel, relative to its folder.

    Raises InputError for a model that is damaged, and for a file that is none of a model's: a
    pickle, a link that leads out of the folder, anything that its system does not write.
    """
    from atat.engine import model_folder

    system = model_folder.check(folder)
    parts = model_folder.parts_of(system)
    checksums.check(folder, parts)
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path}: leads out of the model's folder; put the file itself there")
        if path.is_dir():
            continue
        if path.suffix.lower() in PICKLES:
            raise InputError(
                f"{path}: a file of this kind may hold code, and is none of a model's; remove it"
            )
        if name.parts[0] not in parts:
            raise InputError(f"{path}: is none of a packed model's files; remove it")
        names.append(name.as_posix())
    return names
