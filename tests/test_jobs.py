"""Jobs inline and in a worker process: the same function, the same messages, exactly one end."""

import os
import signal
import sys
import time

import numpy as np
import pytest

from napari_unet.errors import ImageError, UserError
from napari_unet.jobs import Job, JobContext, JobRunner, JobState, LazyArray, UnexpectedError


def add_up(context: JobContext, array, steps: int):
    total = 0.0
    for step in range(steps):
        context.check()
        total += float(np.asarray(array[step]).sum())
        context.report((step, total))
        context.progress(step + 1, steps)
    return total


def loop(context: JobContext):
    while True:
        context.check()
        time.sleep(0.005)


def ignore_cancel(context: JobContext):
    time.sleep(60)


def nap(context: JobContext, seconds: float):
    time.sleep(seconds)


def refuse():
    raise ImportError("no module of that name")


class Puzzle:
    def __reduce__(self):
        return refuse, ()


def return_puzzle(context: JobContext):
    return Puzzle()


def step_that_does_not_look(context: JobContext, seconds: float):
    return context.run(pause, seconds)


def pause(seconds: float):
    if seconds < 0:
        raise ImageError("Time runs forward.")
    time.sleep(seconds)
    return seconds


def fail(context: JobContext, error: BaseException):
    raise error


def die(context: JobContext):
    os.kill(os.getpid(), signal.SIGKILL)


def modules(context: JobContext):
    print("printing must not disturb the protocol")
    return os.getpid(), "torch" in sys.modules


@pytest.fixture(params=["inline", "process"])
def runner(request):
    runner = JobRunner(request.param)
    yield runner
    runner.close()


@pytest.fixture
def process_runner():
    runner = JobRunner("process")
    yield runner
    runner.close()


def test_reports_progress_and_result_arrive_in_order(runner):
    array = LazyArray(np.arange(20.0).reshape(4, 5))
    reports, ends = [], []
    job = runner.submit(add_up, array, 4, on_report=reports.append, on_end=ends.append)
    runner.wait(job, timeout=60)
    assert job.state is JobState.DONE
    assert job.result == array.array.sum()
    assert [step for step, _ in reports] == [0, 1, 2, 3]
    assert ends == [job]
    assert not runner.busy


def test_a_failure_is_a_sentence_and_the_next_job_runs(runner):
    job = runner.wait(runner.submit(fail, ImageError("It is empty.", "Open another.")), 60)
    assert job.state is JobState.FAILED
    assert isinstance(job.error, ImageError)
    assert str(job.error) == "It is empty. Open another."
    other = runner.wait(runner.submit(fail, RuntimeError("CUDA error")), 60)
    assert isinstance(other.error, UnexpectedError)
    assert "RuntimeError: CUDA error" in other.error.message
    assert "Traceback" in other.details
    assert runner.wait(runner.submit(add_up, LazyArray(np.ones((1, 2))), 1), 60).result == 2


def test_an_array_that_cannot_be_read_names_its_reason(process_runner):
    class Broken:
        shape, dtype = (2, 2), np.dtype("uint8")

        def __getitem__(self, index):
            raise ImageError("The chunk (0, 0) is missing.")

    job = process_runner.wait(process_runner.submit(add_up, LazyArray(Broken()), 2), 60)
    assert isinstance(job.error, ImageError)
    assert "chunk (0, 0)" in str(job.error)


def test_cancel_ends_in_cancelled_and_nothing_else(process_runner):
    ends = []
    job = process_runner.submit(loop, on_end=lambda job: ends.append(job.state))
    job.cancel()
    assert job.state is JobState.STOPPING
    process_runner.wait(job, 60)
    assert ends == [JobState.CANCELLED]


def test_a_job_that_ignores_its_cancellation_loses_its_process(process_runner):
    job = process_runner.submit(ignore_cancel, patience=0.5)
    job.cancel()
    process_runner.wait(job, 60)
    assert job.state is JobState.CANCELLED
    again = process_runner.submit(add_up, LazyArray(np.ones((1, 2))), 1)
    assert process_runner.wait(again, 60).state is JobState.DONE


def test_a_cancelled_job_that_waits_does_not_end_the_one_that_runs(process_runner):
    first = process_runner.submit(nap, 2.0)
    second = process_runner.submit(loop, patience=0.2)
    second.cancel()
    process_runner.wait(second, 60)
    assert second.state is JobState.CANCELLED
    assert first.state is JobState.DONE


def test_a_result_that_cannot_be_understood_fails_the_job(process_runner):
    job = process_runner.wait(process_runner.submit(return_puzzle), 60)
    assert job.state is JobState.FAILED
    assert process_runner.wait(process_runner.submit(nap, 0.0), 60).state is JobState.DONE


def test_a_step_that_does_not_look_at_the_cancellation_is_left_behind(process_runner):
    job = process_runner.submit(step_that_does_not_look, 30.0)
    process_runner.wait(process_runner.submit(nap, 0.0, lane="other"), 60)
    job.cancel()
    process_runner.wait(job, 20)
    assert job.state is JobState.CANCELLED
    assert process_runner.wait(process_runner.submit(nap, 0.0), 10).state is JobState.DONE


def test_a_step_returns_and_fails_like_its_function(runner):
    assert runner.wait(runner.submit(step_that_does_not_look, 0.01), 60).result == 0.01
    assert str(runner.wait(runner.submit(step_that_does_not_look, -1.0), 60).error) == "Time runs forward."


def test_a_process_that_dies_fails_its_job_with_a_sentence(process_runner):
    job = process_runner.wait(process_runner.submit(die), 60)
    assert job.state is JobState.FAILED
    assert "ended unexpectedly" in job.error.message


def test_jobs_run_in_another_process_and_printing_does_no_harm(process_runner):
    job = process_runner.wait(process_runner.submit(modules), 60)
    pid, _ = job.result
    assert pid != os.getpid()


def test_lanes_run_side_by_side(process_runner):
    first = process_runner.submit(loop, lane="train")
    second = process_runner.submit(add_up, LazyArray(np.ones((1, 2))), 1, lane="compute")
    process_runner.wait(second, 60)
    assert not first.ended
    first.cancel()
    process_runner.wait(first, 60)


def test_reports_are_prepared_off_the_main_thread_and_a_failure_there_fails_the_job(runner):
    seen = []
    array = LazyArray(np.ones((2, 2)))
    job = runner.submit(add_up, array, 2, on_report=seen.append, prepare=lambda v: [("ready", v), "more"])
    runner.wait(job, 60)
    assert seen == [("ready", (0, 2.0)), "more", ("ready", (1, 4.0)), "more"]

    def broken(value):
        raise ImageError("It does not fit.")

    job = runner.wait(runner.submit(add_up, array, 2, prepare=broken), 60)
    assert job.state is JobState.FAILED
    assert str(job.error) == "It does not fit."


def test_a_report_that_cannot_be_taken_fails_the_job(runner):
    def broken(value):
        raise ImageError("It does not fit.")

    job = runner.submit(add_up, LazyArray(np.ones((2, 2))), 2, on_report=broken)
    runner.wait(job, 60)
    assert job.state is JobState.FAILED
    assert str(job.error) == "It does not fit."


def test_closing_ends_what_runs(process_runner):
    ends = []
    process_runner.submit(loop, on_end=lambda job: ends.append(job.state))
    process_runner.close()
    assert ends == [JobState.CANCELLED]
    assert not process_runner.busy


def test_a_user_error_is_no_runtime_error():
    # Qt worker libraries swallow RuntimeErrors of generators.
    assert not issubclass(UserError, RuntimeError)
    assert isinstance(Job("name").state, JobState)


def follow(context: JobContext):
    """Report each value that the caller steers to, until it is 'stop'."""
    seen = None
    context.report("ready")
    while seen != "stop":
        context.check()
        if context.steered != seen:
            seen = context.steered
            context.report(seen)
        time.sleep(0.002)


def test_a_running_job_hears_where_to_go_on() -> None:
    runner = JobRunner()
    heard: list[str] = []
    try:
        job = runner.submit(follow, on_report=heard.append)
        while not heard:
            runner.deliver()
            time.sleep(0.005)
        job.steer("left")
        while heard[-1] != "left":
            runner.deliver()
            time.sleep(0.005)
        job.steer("stop")
        assert runner.wait(job, 30).state is JobState.DONE
        assert heard == ["ready", "left", "stop"]
        job.steer("late")  # nobody listens any more
        after = runner.wait(runner.submit(add_up, np.ones((1, 2)), 1), 30)
        assert after.result == 2
    finally:
        runner.close()


def test_a_job_function_sees_the_latest_value_only() -> None:
    heard: list[str] = []
    values = iter(["left", "right", "stop"])
    context = JobContext(lambda kind, value: heard.append(value), lambda: False, lambda: next(values, "stop"))
    follow(context)
    assert heard[0] == "ready" and heard[-1] == "stop"
