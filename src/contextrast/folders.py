"""Where the configuration lies: this package's ``conf/``, and those of the user's own packages."""

from pathlib import Path

from contextrast.errors import ConfigError
from contextrast.packages import configuration_of, own_packages


def config_directory() -> Path:
    """The folder ``conf``: inside the package in an installed wheel, at the top of the repository in a checkout."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"


def choices_of(group: str) -> list[str]:
    """The files of a group of ``conf/``, of this package and of the user's own; those that others share are left out.

    Raises:
        ConfigError: As `own_configurations`.
    """
    folders = (folder / group for folder in (config_directory(), *own_configurations().values()))
    return sorted({path.stem for folder in folders for path in folder.glob("[!_]*.yaml")})


def own_configurations() -> dict[str, Path]:
    """The folders ``conf`` of the user's own packages, by package.

    Raises:
        ConfigError: If a package cannot be found, or a file would stand for one of another folder.
    """
    shipped = config_directory()
    owners = {path.relative_to(shipped): "contextrast" for path in shipped.rglob("*.yaml")}
    found = {name: configuration_of(name, named_by) for name, named_by in own_packages().items()}
    folders = {name: folder for name, folder in found.items() if folder is not None}
    for name, folder in folders.items():
        for path in sorted(folder.rglob("*.yaml")):
            file = path.relative_to(folder)
            if file in owners:
                raise ConfigError(
                    f"{path} stands for a file that {owners[file]} has, too: conf/{file}. Give it another name; its "
                    "defaults list can start from the other file."
                )
            owners[file] = name
    return folders
