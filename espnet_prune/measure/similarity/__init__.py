# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How alike the layers of an encoder are: SVCCA, CKA, distance correlation.

Hidden states are collected in one pass over unlabelled audio, compared all with all,
and the matrix is kept in a file. A block whose input and output are alike changes
little, and is a candidate for removal (Lee et al. 2021; CoMFLP, Liu et al. 2023).
"""
