"""The verb ``plan``."""

from __future__ import annotations

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show what mirror and patch would do, and how many bytes they would move; nothing is changed.

    Example: sallyport plan

    Exit codes: 0 done, 2 usage, 5 unreachable.
    """
    from sallyport import pipeline
    from sallyport.cli.output import show, size
    from sallyport.cli.terminal import watching
    from sallyport.site import open_site

    with watching(quiet=as_json) as progress, open_site(config, progress=progress) as site:
        planned, patches = pipeline.plan(site)
    rows = [
        ("mirror", f"{p.repository}:{p.tag}", "fetch" if p.needed else "unchanged", size(p.bytes) if p.needed else "-")
        for p in planned
    ]
    rows += [
        (
            "patch",
            f"{name} {plan.platform}",
            ", ".join(f"{u.new.name} {u.old.version if u.old else '(new)'} -> {u.new.version}" for u in plan.upgrades)
            or "nothing to patch",
            size(plan.bytes_to_fetch),
        )
        for name, plan in patches
    ]
    needed = [p for p in planned if p.needed]
    total = sum(p.bytes for p in needed) + sum(plan.bytes_to_fetch for _, plan in patches)
    show(
        {"mirror": planned, "patch": patches},
        as_json=as_json,
        headers=("step", "image", "what", ">bytes"),
        rows=rows,
        note=f"{len(needed)} of {len(planned)} tags to fetch, {size(total)} in total; what tags share counts once",
    )
