"""The measures of an evaluation: built for what is evaluated, and what they need of the data."""

from collections.abc import Mapping
from typing import Any

from contextrast.config import instantiate
from contextrast.data import LabelTable, SegmentationDataset
from contextrast.errors import ConfigError
from contextrast.metrics import Measure, Subject
from contextrast.models import Network


def build_measures(chosen: Mapping[str, Any], network: Network, labels: LabelTable) -> dict[str, Measure]:
    """Build the measures that were chosen, each told what it asks for of the network and the classes.

    Args:
        chosen: Settings by the measure's name, as plain containers; None leaves one out.
        network: What is evaluated.
        labels: Its classes.

    Raises:
        ConfigError: If a measure cannot be had of this network or these classes.
    """
    subject = Subject(labels.num_classes, labels.groups, network.stage_names, network.stage_channels)
    measures: dict[str, Measure] = {}
    for name, settings in chosen.items():
        if settings is None:
            continue
        if not isinstance(settings, Mapping) or "_target_" not in settings:
            raise ConfigError(f"metrics.{name}={settings} describes no measure (no _target_); null leaves it out.")
        described: Any = instantiate({**settings, "_partial_": True})
        if not issubclass(described.func, Measure):
            raise ConfigError(f"metrics.{name}: {settings['_target_']} is no contextrast.metrics.Measure.")
        try:
            measure = described.func.of(subject, **described.keywords)
        except (TypeError, ValueError) as error:  # what constructors say to arguments that they do not take
            raise ConfigError(f"metrics.{name}: {settings['_target_']} could not be built: {error}") from error
        except ConfigError as error:
            raise ConfigError(f"metrics.{name}.{error}") from error
        if measure is None:
            continue
        if "features" in measure.needs and not subject.stages:
            raise ConfigError(f"metrics.{name} looks at feature maps, which an export does not show. Leave it out.")
        measures[name] = measure
    return measures


def needed_of(dataset: SegmentationDataset, measures: Mapping[str, Measure]) -> SegmentationDataset:
    """Return the dataset, with instance maps in its samples where a measure needs them.

    Raises:
        ConfigError: If the dataset has none.
        DataError: If it lacks their files.
    """
    needing = [name for name, measure in measures.items() if "instances" in measure.needs]
    if not needing:
        return dataset
    if not hasattr(dataset, "with_instances"):
        raise ConfigError(
            f"metrics: {', '.join(needing)} needs instance maps, which {type(dataset).__name__} does not have. Leave "
            "it out of metrics=[...]."
        )
    found: SegmentationDataset = dataset.with_instances()
    return found
