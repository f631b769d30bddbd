# SPDX-License-Identifier: BSD-3-Clause
"""Writes docs/torch-names.md: which names of torch fastnn has.

python -m tests.torch_names             writes the page
python -m tests.torch_names --check     exits with 1 if it is not up to date
python -m tests.torch_names --collect   reads torch's names from the installed torch before
"""

from __future__ import annotations

import sys

from . import collect, page


def main() -> int:
    """Writes or checks the page."""
    given = sys.argv[1:]
    if "--collect" in given:
        page.DATA.write_text(collect.text(), "utf-8")
    wanted = page.text()
    if "--check" in given:
        return 0 if page.PAGE.is_file() and page.PAGE.read_text("utf-8") == wanted else 1
    page.PAGE.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
