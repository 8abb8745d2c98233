"""Print what the service needs to be installed: all that the package asks for, but for what computes vectors."""  # noqa: INP001 - a script

import re
import sys
import tomllib
from pathlib import Path

NOT_NEEDED = {"torch", "transformers"}  # the service and the library's upkeep never import them
EXTRAS = ("service", "postgresql", "objects")


def requirements(pyproject: Path) -> list[str]:
    """Return the requirements of a project as `pip install -r` reads them."""
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    every = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    return [line for line in every if re.split(r"[^A-Za-z0-9._-]", line)[0] not in NOT_NEEDED]


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(Path(sys.argv[1]))) + "\n")
