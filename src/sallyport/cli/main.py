"""The program ``sallyport``.

Imports here stay light: every verb imports what it needs when it runs, so that ``--help`` is fast.
"""

from __future__ import annotations

import os
import sys

from sallyport import __version__

INTERRUPTED = 130
DEFECT = 70


def build_app() -> object:
    """The command line with all verbs."""
    import typer

    from sallyport.cli import (
        audit,
        bundle,
        deliver,
        demo,
        discover,
        gate,
        gc,
        gitops,
        import_config,
        init,
        key,
        mirror,
        patch,
        plan,
        promote,
        receive,
        release,
        robot,
        run,
        scan,
        serve,
        status,
        verify,
    )

    app = typer.Typer(
        name="sallyport",
        help="Keep the container images of isolated sites patched: mirror, scan, patch, judge, sign, carry, "
        "receive, promote, prove.\n\nExample: sallyport demo\n\n"
        "Exit codes: 0 done, 1 refused, 2 usage, 3 damaged bytes, 4 untrusted, 5 unreachable, 6 storage, "
        "7 conflict, 70 defect, 130 interrupted.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback()
    def root(
        version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    ) -> None:
        """Show the version, or go on to the verb."""
        if version:
            typer.echo(f"sallyport {__version__}")
            raise typer.Exit

    # In the order of the pipeline, as the help shows them.
    for verb in (
        init, import_config, discover, plan, mirror, scan, patch, gate, release, bundle, receive, promote, deliver,
        gitops, audit,
        run, serve, status, verify, gc, demo,
    ):  # fmt: skip
        app.command(verb.__name__.rpartition(".")[2].replace("_", "-"))(verb.command)
    app.add_typer(key.app, name="key")
    app.add_typer(robot.app, name="robot")
    return app


def main() -> None:
    """Entry point; never shows a traceback for a user's mistake."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"sallyport {__version__}\n")
        return
    sys.exit(run_app(sys.argv[1:]))


def run_app(arguments: list[str]) -> int:
    """Run one command line and say its exit code."""
    from sallyport.cli.output import report_defect, report_error
    from sallyport.errors import SallyportError

    as_json = "--json" in arguments
    try:
        app = build_app()
        code = app(arguments, prog_name="sallyport", standalone_mode=False)  # type: ignore[operator]
    except SallyportError as error:
        report_error(error, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away; that is its business, not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if type(error).__module__.startswith(("typer", "click")):
            return _report_usage(error, as_json=as_json)
        if os.environ.get("SALLYPORT_DEBUG"):
            raise
        report_defect(error, as_json=as_json)
        return DEFECT
    if code == INTERRUPTED:  # Typer says it so, too
        sys.stderr.write("\nerror: interrupted\nmend: run the same command again; it goes on where it stopped\n")
    return code if isinstance(code, int) else 0


def _report_usage(error: Exception, *, as_json: bool) -> int:
    from sallyport.cli.output import report_error
    from sallyport.errors import UsageError

    code = int(getattr(error, "exit_code", 2))
    if type(error).__name__ in {"Exit", "Abort"}:
        return code
    formatted = getattr(error, "format_message", None)
    message = formatted() if callable(formatted) else str(error)
    if message:
        report_error(UsageError(message.rstrip("."), "see: sallyport --help, or the verb with --help"), as_json=as_json)
    else:
        context = getattr(error, "ctx", None)
        if context is not None:
            sys.stderr.write(context.get_help() + "\n")
    return code
