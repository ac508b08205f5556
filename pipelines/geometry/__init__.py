"""From slices to one volume in the patient: read headers, split, place, decode, choose.

Read in this order: `frames` (what a header says), `headers` and `enhanced` (how it is read), `stacks` (which
slices belong together), `lattice` (where they lie), `pixels` and `hounsfield` (what they hold), `resample`
(the corrections), `choose` (which series), `reasons` (every way it can end).
"""
