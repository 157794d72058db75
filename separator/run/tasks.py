"""Apply a function to many items in Ray tasks: a few at once, with the results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from separator.errors import SeparatorError

MAX_RETRIES = 2  # for an item whose worker died
Item = TypeVar("Item")
Result = TypeVar("Result")


def run_tasks(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    find_known: Callable[[Item], Result | None] = lambda item: None,
) -> Iterator[Result]:
    """Yield the result of each item in the order of the items.

    Items whose result is known are not worked on; Ray starts when the first other item comes.
    """
    ahead: deque[tuple[Any, bool]] = deque()  # a result or a task, and whether it is a task
    start, most_ahead = None, 0
    for item in items:
        found, is_task = find_known(item), False
        if found is None:
            if start is None:
                start, most_ahead = _prepare(work)
            found, is_task = start(item), True
        ahead.append((found, is_task))
        if len(ahead) > most_ahead:
            yield _wait(*ahead.popleft())
    while ahead:
        yield _wait(*ahead.popleft())


def _prepare(work: Callable[[Any], Any]) -> tuple[Callable[[Any], Any], int]:
    """Start Ray; return a function that starts a task, and how many tasks to keep under way."""
    import ray

    from separator.run.local_ray import join_ray

    join_ray()
    shared = ray.put(work)
    task: Any = ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(_do)
    num_cpus = int(ray.cluster_resources().get("CPU", 1))
    return lambda item: task.remote(shared, item), 2 * num_cpus


def _do(work: Callable[[Any], Any], item: Any) -> Any:
    try:
        return work(item)
    except SeparatorError as error:
        return error  # not raised: Ray would wrap it in a traceback


def _wait(found: Any, is_task: bool) -> Any:
    if is_task:
        import ray

        found = ray.get(found)
    if isinstance(found, SeparatorError):
        raise found
    return found
