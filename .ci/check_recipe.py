"""Whether rattler-build can read a recipe and render it for each platform and Python."""

import sys
from pathlib import Path

from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe, VariantConfig

PLATFORMS = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64")
PYTHONS = ["3.11.* *_cp311", "3.12.* *_cp312", "3.13.* *_cp313", "3.14.* *_cp314"]


def main() -> None:
    """Render, and fail where a Python is missing or nothing is built."""
    recipe = Stage0Recipe.from_file(Path(sys.argv[1]))
    compilers = {"cxx_compiler": ["gxx"], "c_stdlib": ["sysroot"], "c_stdlib_version": ["2.28"]}
    for platform in PLATFORMS:
        where = PlatformConfig(target_platform=platform, build_platform="linux-64")
        variants = recipe.render(
            VariantConfig({"python": PYTHONS, **compilers}), RenderConfig(platform=where)
        )
        pythons = {str(variant.variant["python"]) for variant in variants}
        if pythons != set(PYTHONS):
            sys.exit(f"{platform}: expected {PYTHONS}, got {sorted(pythons)}")
        print(f"{platform}: {len(variants)} packages")


if __name__ == "__main__":
    main()
