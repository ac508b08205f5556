"""From slices to one volume in the patient: read headers, split, place, decode, choose.

Read in this order: `frames` (what a header says), `enhanced` (the same for multi-frame objects), `stacks`
(which slices belong together), `lattice` (where they lie), `pixels` and `hounsfield` (what they hold),
`resample` (the corrections), `choose` (which series), `reasons` (every way it can end).
"""
