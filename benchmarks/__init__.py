"""What things cost, as ratios to a floor measured in the same run; figures are kept in RESULTS.md.

Importing this sets BLAS to one thread, which must happen before numpy is imported: floors and stages run on one, too.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
