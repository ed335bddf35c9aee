/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The least that a program can do to move frames between a carpdev and a TAP: it looks at nothing. What this costs more than
 * a macvlan is the kernel's.
 */
#include "../../src/dataplane/bpf/kernel.h"

/* The loader's; a constant for the verifier. */
const volatile u32 target = 0;

SECTION("classifier/inward") int inward(struct __sk_buff *skb)
{
	(void)skb;
	return redirect(target, REDIRECT_INGRESS);
}

SECTION("classifier/outward") int outward(struct __sk_buff *skb)
{
	(void)skb;
	return redirect(target, 0);
}

SECTION("license") char licence[] = "Dual MIT/GPL";
