"""What a round costs: konsil's exchange beside NVIDIA FLARE's and Flower's, and the centre's arithmetic alone.

N sites exchange nnU-Net's 31.2 M float32 (124.8 MB) with a centre and train nothing; each adds a known constant, so the
result is checked. Every system runs as the processes it consists of in use, on one machine, in a network of its own;
konsil's S3 server is counted. Runs are interleaved and `--repeat`ed, because other work on the machine is in the
seconds: trust CPU seconds, memory and ratios. The peers' environments are made with pip below build/.

    python bench/exchange.py --json build/bench/exchange.json
    python bench/exchange.py --scale 0.05 --sites 3 --aggregate 3 --json build/bench/smoke.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HERE = ROOT / "bench" / "peers" / "exchange"
PEERS = ("nvflare", "flower_bidi", "flower_superlink")
OURS, OURS_16BIT, RIVAL = "konsil", "konsil_16bit", "nvflare"
MODEL_MB = 124.8
COLUMNS = (
    "| system | sites | s per round | CPU-s per round | centre MB | a site MB | store MB | MB per site and round |"
    " others' share of the CPUs |\n|---|---|---|---|---|---|---|---|---|"
)
Row = dict[str, Any]


def environment(peer: str) -> Path:
    """The interpreter of a peer's environment, made at the first call."""
    folder = ROOT / "build" / "bench" / "peers" / peer
    if not (folder / "ready").is_file():
        venv.create(folder, with_pip=True, clear=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "-r", HERE / "requirements" / f"{peer}.txt"], check=True)
        (folder / "ready").touch()
    return folder / "bin" / "python"


def isolated() -> list[str]:
    """The beginning of a command that runs in a network of its own, where this user may make one."""
    command = ["unshare", "--net"]
    possible = shutil.which("unshare") and not subprocess.run([*command, "true"], check=False).returncode
    return command if possible else []


def run(script: str, python: Path, *options: object) -> Row:
    """One runner; its figures."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "row.json"
        command = [*isolated(), python, HERE / f"{script}.py", *options, "--json", out]
        subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr)
        return dict(json.loads(out.read_text()))


def exchange(system: str, sites: int, rounds: int, scale: float) -> Row:
    """Some rounds in one system."""
    ours = system in {OURS, OURS_16BIT}
    python = Path(sys.executable) if ours else environment(system)
    precision = "delta16" if system == OURS_16BIT else "float32"
    options = ("--sites", sites, "--rounds", rounds, "--scale", scale, "--precision", precision)
    return run("konsil_run" if ours else f"{system}_run", python, *options)


def together(rows: list[Row]) -> Row:
    """Repeated runs of one system as one: all rounds' seconds, the median of what is one figure per run."""
    seconds = [value for row in rows for value in row["round_s"]]
    found = {**rows[-1], "round_s": seconds, "median_s": round(statistics.median(seconds), 3)}
    for key in ("cpu_s_per_round", "peak_rss_mb", "peak_sum_mb"):
        found[key] = {role: round(statistics.median(row[key][role] for row in rows), 2) for role in rows[-1][key]}
    found["max_abs_err"] = max(row["max_abs_err"] for row in rows)
    found["foreign_cpu_share"] = round(statistics.mean(row["foreign_cpu_share"] for row in rows), 2)
    return found


def measured(chosen: argparse.Namespace) -> dict[str, dict[str, Row]]:
    """Rows by number of sites and system; the systems take turns."""
    found: dict[str, dict[str, Row]] = {}
    for sites in chosen.sites:
        rows: dict[str, list[Row]] = {system: [] for system in chosen.systems}
        for _ in range(chosen.repeat):
            for system in chosen.systems:
                rows[system].append(exchange(system, sites, chosen.rounds, chosen.scale))
                print(line(system, together(rows[system])), file=sys.stderr)
        found[str(sites)] = {system: together(several) for system, several in rows.items()}
    return found


def ratios(rows: dict[str, dict[str, Row]], system: str) -> dict[str, dict[str, float]] | None:
    """Median seconds and CPU seconds of `system` over those of NVIDIA FLARE, by number of sites; None without both."""
    both = {sites: found for sites, found in rows.items() if system in found and RIVAL in found}
    made = {
        sites: {
            "seconds": round(found[system]["median_s"] / found[RIVAL]["median_s"], 3),
            "cpu_s": round(found[system]["cpu_s_per_round"]["all"] / found[RIVAL]["cpu_s_per_round"]["all"], 3),
        }
        for sites, found in both.items()
    }
    return made or None


def headline(rows: dict[str, dict[str, Row]], scale: float) -> Row:
    """The figures others rely on (DESIGN.md section 8); the worst over the numbers of sites."""
    figures: Row = {}
    for key, system in (("ratio_to_nvflare", OURS), ("ratio_to_nvflare_16bit", OURS_16BIT)):
        found = ratios(rows, system)
        figures[key] = max(each["seconds"] for each in found.values()) if found else None
        figures[f"{key}_by_sites"] = found
    ours = [row for found in rows.values() for system, row in found.items() if system == OURS]
    model = MODEL_MB * scale
    figures["centre_rss_over_model"] = max(
        (round(row["peak_rss_mb"]["centre"] / model, 2) for row in ours), default=None
    )
    figures["site_rss_over_model"] = max((round(row["peak_rss_mb"]["sites"] / model, 2) for row in ours), default=None)
    figures["seconds_per_round"] = {sites: found[OURS]["median_s"] for sites, found in rows.items() if OURS in found}
    return figures


def line(system: str, row: Row) -> str:
    """A row of the table."""
    peak, cpu, seconds = row["peak_rss_mb"], row["cpu_s_per_round"], row["round_s"]
    store = f"{peak['store']:.0f}" if "store" in peak else "–"
    return (
        f"| {row['system']}{' 16 bit' if system == OURS_16BIT else ''} | {row['sites']} | {row['median_s']:.1f}"
        f" ({min(seconds):.1f}–{max(seconds):.1f}) | {cpu['all']:.1f} | {peak['centre']:.0f} | {peak['sites']:.0f} |"
        f" {store} | {row['mb_per_site_and_round']} | {row['foreign_cpu_share']:.2f} |"
    )


def main() -> None:
    """Measure, print the tables, write the figures."""
    chosen = arguments()
    python = Path(sys.executable)
    rows = measured(chosen)
    alone = [run("konsil_aggregate", python, "--sites", n, "--scale", chosen.scale) for n in chosen.aggregate]
    disk = [run("konsil_aggregate", python, "--disk", "--sites", n, "--scale", chosen.scale) for n in chosen.disk]
    many = [run("konsil_aggregate", python, "--disk", "--sites", n, "--scale", 0.008) for n in chosen.many]
    stages = run("konsil_stages", python, "--scale", chosen.scale)
    figures = {**headline(rows, chosen.scale), "exchange": rows, "aggregate_s3": alone, "aggregate_disk": disk + many}
    figures["stages"] = stages
    print(COLUMNS)
    print("\n".join(line(system, row) for found in rows.values() for system, row in found.items()))
    print(json.dumps({key: value for key, value in figures.items() if key != "exchange"}, indent=2))
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="write the figures here")
    parser.add_argument("--sites", type=int, nargs="*", default=[3, 8])
    parser.add_argument("--systems", nargs="*", choices=[OURS, OURS_16BIT, *PEERS], default=[OURS, *PEERS])
    parser.add_argument("--rounds", type=int, default=5, help="the first is not counted")
    parser.add_argument("--repeat", type=int, default=2, help="how often the systems take turns")
    parser.add_argument("--scale", type=float, default=1.0, help="below 1: a smaller model, for a smoke test")
    parser.add_argument("--aggregate", type=int, nargs="*", default=[3, 8, 32], help="sites, through the S3 server")
    parser.add_argument("--disk", type=int, nargs="*", default=[25, 100], help="sites, from a folder")
    parser.add_argument("--many", type=int, nargs="*", default=[250, 1000], help="sites with a model of 1 MB")
    return parser.parse_args()


if __name__ == "__main__":
    main()
