"""What exists: the asset graph, and the functions its assets and the command line call."""

from pathlib import Path

from platform_assets.shadowing import refuse_shadowing

refuse_shadowing(Path(__file__).resolve().parents[1])
