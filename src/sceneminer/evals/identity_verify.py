"""What ``verify`` prints."""

from rich.console import Console
from rich.table import Table

from sceneminer.mine.printable import one_line
from sceneminer.model.verify import VerifyReport


def print_report(report: VerifyReport) -> None:
    """One line a check, and last whether all is identical or what moved first."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for title in ("what", "by", "then", "now", ""):
        table.add_column(title, no_wrap=True)
    for check in report.checks:
        table.add_row(one_line(check.item), check.kind, check.old, check.new, "MOVED" if check.moved else "same")
    console.print(table)
    if report.added:
        console.print("added: " + one_line(", ".join(report.added)), markup=False)
    first = report.first
    if first is None:
        console.print("identical: nothing moved, max |difference| = 0")
    else:
        console.print(one_line(f"moved: {first.item} ({first.kind}): {first.moved}"), markup=False)
