"""Values of metrics (`metrics = "read"`). Hooks only."""

from __future__ import annotations

from . import wit
from .types import Observation, read_observation

_host = wit.Interface("metrics", 'metrics = "read"')


def latest(metric: str, subject: str) -> Observation | None:
    """The latest value of `metric` for `subject`, which is `customer:<id>` or `business`; None when there is none yet."""
    observation = _host.call("latest", metric, subject)
    return None if observation is None else read_observation(observation)
