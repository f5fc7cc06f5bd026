"""What others published of such jobs, on machines of theirs. Nothing of it was measured here."""

ITO = "[Ito et al. 2011](https://doi.org/10.1371/journal.pone.0027431)"
CHALEARN = "notes to the sample code of the ChaLearn Connectomics Challenge, 2014"
TENEX = "[description of tnx 0.1.0](https://pypi.org/project/tnx/)"
GPU = "NVIDIA PRO 6000 Blackwell"

# Job, who, on what, how long, where that is said, and the shape that has as many series, steps and
# delays.
QUOTED = (
    (
        "200 cells x 1 hour, 30 delays", "C code of the authors", "a desktop computer of 2011",
        "about 5 minutes", ITO, "Ito",
    ),
    (
        "1,000 cells x 179,500 samples", "C++ code of the organisers", "a cluster",
        "10 to 12 hours", CHALEARN, "ChaLearn",
    ),
    ("mESC, 3,281 genes x 459 cells", "FastTENET", GPU, "33.28 s", TENEX, "mESC, 11 symbols"),
    ("mESC, 3,281 genes x 459 cells", "TENEX", GPU, "0.334 s", TENEX, "mESC, 11 symbols"),
    ("Skin, 1,960 genes x 7,490 cells", "FastTENET", GPU, "115.76 s", TENEX, "Skin, 23 symbols"),
    ("Skin, 1,960 genes x 7,490 cells", "TENEX", GPU, "0.216 s", TENEX, "Skin, 23 symbols"),
    ("Zebrafish, 25,258 genes x 26,022 cells", "FastTENET", GPU, "18.06 h", TENEX, None),
    ("Zebrafish, 25,258 genes x 26,022 cells", "TENEX", GPU, "42.92 s", TENEX, None),
)  # fmt: skip
