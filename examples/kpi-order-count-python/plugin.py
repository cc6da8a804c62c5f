"""How many orders each customer placed, and when the last one was."""

from array import array
from typing import Any

import regard

NEVER = -(1 << 63)
# First bytes of a state, with the version of its format: a state may outlive the version that wrote it.
MARK = b"ocp1"
# Bytes of a state for each group: a count and a time.
STATE_BYTES = 16


@regard.metric(
    "order-count",
    version=1,
    description="Orders of a customer; null without one. Column last_order: the time of the last one.",
    unit="orders",
    subject="customer",
    kinds=["order.placed"],
    inputs=["occurred-at"],
)
class OrderCount(regard.Accumulator):
    def __init__(self, parameters: dict[str, Any]) -> None:
        # One entry per customer, in machine numbers: a million customers take 16 MB.
        self.counts = array("q")
        self.last = array("q")

    def grow(self, group_count: int) -> None:
        more = group_count - len(self.counts)
        if more > 0:
            self.counts.extend([0] * more)
            self.last.extend([NEVER] * more)

    def update(self, groups: "array[int]", group_count: int, rows: regard.Rows) -> None:
        regard.check_groups(groups, group_count, rows)
        self.grow(group_count)
        counts, last = self.counts, self.last
        for group, time in zip(groups, rows.timestamps("occurred-at").values):
            counts[group] += 1
            if time > last[group]:
                last[group] = time

    def merge(self, state: bytes, remap: "array[int]") -> None:
        if not state.startswith(MARK):
            raise regard.Error("invalid", "these bytes are no state of order-count")
        state = state[len(MARK) :]
        if len(state) != STATE_BYTES * len(remap):
            raise regard.Error("invalid", f"a state of {len(state)} bytes for {len(remap)} groups")
        half = len(state) // 2
        counts, last = array("q", state[:half]), array("q", state[half:])
        self.grow(max(remap, default=-1) + 1)
        for group, count, time in zip(remap, counts, last):
            self.counts[group] += count
            self.last[group] = max(self.last[group], time)

    def state(self) -> bytes:
        return MARK + self.counts.tobytes() + self.last.tobytes()

    def finish(self, as_of_ms: int) -> regard.Batch:
        return (
            regard.BatchBuilder(len(self.counts))
            .float64("value", [count or None for count in self.counts])
            .timestamps("last_order", [None if time == NEVER else time for time in self.last])
            .finish()
        )
