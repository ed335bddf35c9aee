//! All that touches the kernel, and the only `unsafe`; must not know vhids, states or policy.
