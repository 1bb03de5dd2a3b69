"""Takes values and effects asked for -> gives atomic files, programs, time, workers, progress, HTTP."""

from sallyport.engine.atomic import TEMPORARY_PREFIX, atomic_write, fsync_folder, storage_error, sweep, write_file
from sallyport.engine.clock import Clock, FixedClock, SystemClock, parse_time, render_time
from sallyport.engine.http import Http, Response
from sallyport.engine.locks import exclusive, shared
from sallyport.engine.programs import Ran, run_program
from sallyport.engine.progress import Progress, Silent, Task
from sallyport.engine.tls import ClientCertificate
from sallyport.engine.workers import Executor, Inline, Threads

__all__ = [
    "TEMPORARY_PREFIX",
    "ClientCertificate",
    "Clock",
    "Executor",
    "FixedClock",
    "Http",
    "Inline",
    "Progress",
    "Ran",
    "Response",
    "Silent",
    "SystemClock",
    "Task",
    "Threads",
    "atomic_write",
    "exclusive",
    "fsync_folder",
    "parse_time",
    "render_time",
    "run_program",
    "shared",
    "storage_error",
    "sweep",
    "write_file",
]
