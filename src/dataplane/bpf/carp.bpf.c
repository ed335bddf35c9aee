/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The data plane in the kernel. One instance of this object serves a carpdev and every carpN on it; the contract is in
 * ../mod.rs, the layout of the maps also in map.rs and serve.rs beside this file.
 *
 * Numbers are little-endian in the committed object, as on every machine that carp runs on.
 */
#include "kernel.h"

enum { ETH = 14, ARP_LENGTH = 28 };
enum { PROTO_IPV4 = 0x0800, PROTO_ARP = 0x0806, PROTO_RARP = 0x8035, PROTO_VLAN = 0x8100, PROTO_IPV6 = 0x86dd,
       PROTO_SERVICE_VLAN = 0x88a8 };
enum { IGMP = 2, ICMPV6 = 58, SOLICITATION = 135, ADVERTISEMENT = 136 };
/* How many IPv6 extension headers are followed. Real packets have one or two. */
enum { EXTENSIONS = 8 };

enum { SHUT, INWARD, OPEN, YIELDED };
enum { ACCEPT = 1, CAPTURE = 2 };
/* Flag of entry 0. */
enum { BRIDGED = 1 };

/* Nanoseconds that the questions for an address are kept from the kernel after the lease and the carpN that had it. */
#define GRACE 20000000000ULL

/* The MAC fills the low six bytes of a head, then come gate and flags: one word, so that they change together. */
#define MAC_BITS 0xffffffffffffULL
#define GATE(head) ((u8)((head) >> 48))
#define FLAGS(head) ((u8)((head) >> 56))

/*
 * Entry v is vhid v, the last byte of its virtual MAC. Entry 0 is the carpdev: own MAC, own index, own IPv4 address. The
 * daemon has it mapped into its memory and stores heads and leases while frames pass.
 */
struct port {
	u64 head;
	u32 ifindex;
	u32 address; /* entry 0: network order, 0 for none */
	u64 lease;   /* CLOCK_BOOTTIME, nanoseconds */
};

struct tally {
	u64 frames;
	u64 bytes;
	u64 drops;
};

struct counters {
	struct tally in;
	struct tally out;
};

/* IPv4 addresses as ::ffff:a.b.c.d, in network order. */
struct address {
	u32 word[4];
};

SECTION("maps") struct map_def ports = { MAP_ARRAY, 4, sizeof(struct port), 256, MMAPABLE, 0, 0 };
/* Shared address -> vhid. */
SECTION("maps") struct map_def shared = { MAP_HASH, sizeof(struct address), 4, 8192, NO_PREALLOC, 0, 0 };
SECTION("maps") struct map_def tallies = { MAP_PERCPU_ARRAY, 4, sizeof(struct counters), 256, 0, 0, 0 };

INLINE struct port *entry(u32 slot)
{
	return map_lookup(&ports, &slot);
}

/* Written by another processor at any time: read once. */
INLINE u64 head_of(const struct port *port)
{
	return *(const volatile u64 *)&port->head;
}

INLINE int leased(const struct port *port)
{
	return ktime_get_boot_ns() < *(const volatile u64 *)&port->lease;
}

INLINE void passed(struct tally *tally, u32 bytes)
{
	tally->frames++;
	tally->bytes += bytes;
}

/* A VLAN's frames are never ours (T23). VID 0 is a priority tag. */
INLINE int tagged(const struct __sk_buff *skb)
{
	if (skb->vlan_present &&
	    ((skb->vlan_tci & 0xfff) || skb->vlan_proto != NET16(PROTO_VLAN)))
		return 1;
	return skb->protocol == NET16(PROTO_VLAN) || skb->protocol == NET16(PROTO_SERVICE_VLAN);
}

/* The vhid whose virtual MAC stands there, else 0. */
INLINE u32 virtual_at(const u8 *mac)
{
	u32 prefix = *(const u32 *)mac;
	if (LIKELY(prefix != 0x005e0000 || mac[4] != 1))
		return 0;
	return mac[5];
}

INLINE int serves(const struct port *port, const u8 *mac)
{
	u64 bits = (u64) * (const u32 *)mac | (u64) * (const u16 *)(mac + 4) << 32;
	return (head_of(port) & MAC_BITS) == bits;
}

/* The protocol behind the IPv6 extension headers, -1 when it is not to be told, -2 for a fragment that is not the first. */
INLINE int upper(const struct __sk_buff *skb, u32 *at)
{
	u8 next, head[4];
	if (skb_load_bytes(skb, ETH + 6, &next, 1))
		return -1;
	*at = ETH + 40;
	for (int i = 0; i <= EXTENSIONS; i++) {
		if (next != 0 && next != 43 && next != 44 && next != 51 && next != 60)
			return next;
		if (skb_load_bytes(skb, *at, head, sizeof head))
			return -1;
		if (next == 44) {
			if (head[2] || head[3] & 0xf8)
				return -2;
			*at += 8;
		} else if (next == 51) {
			*at += (head[1] + 2) * 4;
		} else {
			*at += (head[1] + 1) * 8;
		}
		next = head[0];
	}
	return -1;
}

/*
 * A carpN that is gone asks nothing of us: so a filter that its daemon left behind on the carpdev becomes inert. It is gone a
 * moment before its addresses are, hence the grace (T30).
 */
INLINE int lives(struct __sk_buff *skb, const struct port *port)
{
	u32 length = 0;
	if (!port->ifindex)
		return 0;
	return check_mtu(skb, port->ifindex, &length, 0, 0) >= 0 || ktime_get_boot_ns() < port->lease + GRACE;
}

/* The question is for an address that is, or may be, on a carpN here: the engine has heard it and answers. */
INLINE int ours_to_answer(struct __sk_buff *skb, struct address *target)
{
	u32 *vhid = map_lookup(&shared, target);
	if (!vhid)
		return 0;
	struct port *port = entry(*vhid & 0xff);
	return port && lives(skb, port);
}

/* TCP and UDP over IPv6, nearly always: no need to follow headers. */
INLINE int carries_a_stream(const u8 *data, const u8 *end)
{
	return data + ETH + 7 <= end && (data[ETH + 6] == 6 || data[ETH + 6] == 17);
}

/* An ARP request or a neighbour solicitation for a shared address, whatever its Ethernet destination. */
INLINE int asks_for_shared(struct __sk_buff *skb, const u8 *data, const u8 *end)
{
	struct address target;
	u32 at;
	if (skb->protocol == NET16(PROTO_ARP)) {
		u8 arp[ARP_LENGTH];
		if (skb_load_bytes(skb, ETH, arp, sizeof arp) || arp[6] != 0 || arp[7] != 1)
			return 0;
		target.word[0] = target.word[1] = 0;
		target.word[2] = 0xffff0000;
		__builtin_memcpy(&target.word[3], arp + 24, 4);
		return ours_to_answer(skb, &target);
	}
	if (skb->protocol != NET16(PROTO_IPV6))
		return 0;
	if (LIKELY(carries_a_stream(data, end)))
		return 0;
	if (upper(skb, &at) != ICMPV6)
		return 0;
	u8 kind;
	if (skb_load_bytes(skb, at, &kind, 1) || kind != SOLICITATION ||
	    skb_load_bytes(skb, at + 8, &target, sizeof target))
		return 0;
	return ours_to_answer(skb, &target);
}

/* Behind eight extension headers a solicitation could hide. */
INLINE int unclear(const struct __sk_buff *skb, const u8 *data, const u8 *end)
{
	u32 at;
	if (skb->protocol != NET16(PROTO_IPV6) || carries_a_stream(data, end))
		return 0;
	return upper(skb, &at) == -1;
}

INLINE int is_arp_reply(const struct __sk_buff *skb)
{
	u16 operation;
	return skb->protocol == NET16(PROTO_ARP) && !skb_load_bytes(skb, ETH + 6, &operation, 2) &&
	       operation == NET16(2);
}

INLINE int is_advertisement(const struct __sk_buff *skb, const u8 *data, const u8 *end)
{
	u8 kind;
	u32 at;
	if (LIKELY(skb->protocol != NET16(PROTO_IPV6) || carries_a_stream(data, end)))
		return 0;
	return upper(skb, &at) == ICMPV6 && !skb_load_bytes(skb, at, &kind, 1) && kind == ADVERTISEMENT;
}

/*
 * What a neighbour answers is for the tables of both interfaces: where frames stay on carpdev, for that of carpN, which asked
 * as well; otherwise for that of a carpdev without an address of its own, which asked as the shared one (T2).
 */
INLINE int answers_both(const struct __sk_buff *skb, const u8 *data, const u8 *end,
			const struct port *carpdev, u8 flags)
{
	if (flags & ACCEPT)
		return is_arp_reply(skb) || is_advertisement(skb, data, end);
	return !carpdev->address && is_arp_reply(skb);
}

/* carpdev to carpN. */
SECTION("classifier/ingress") int ingress(struct __sk_buff *skb)
{
	const u8 *data = (void *)(u64)skb->data, *end = (void *)(u64)skb->data_end;
	struct port *carpdev = entry(0), *port = 0;
	if (data + ETH > end || !carpdev || tagged(skb))
		return NEXT;
	u32 slot = virtual_at(data);
	if (slot) {
		port = entry(slot);
		if (port && !serves(port, data))
			port = 0;
	}
	/* A bridge must pass on what is not for us; its own responder is kept silent at its own door. */
	u8 bridged = FLAGS(head_of(carpdev)) & BRIDGED;
	if (asks_for_shared(skb, data, end))
		return bridged ? NEXT : DROP;
	if (!port)
		return NEXT;
	struct counters *counters = map_lookup(&tallies, &slot);
	if (!counters)
		return NEXT;
	u64 head = head_of(port);
	if (GATE(head) == SHUT || !leased(port) || unclear(skb, data, end)) {
		counters->in.drops++;
		return bridged ? NEXT : DROP;
	}
	passed(&counters->in, skb->len);
	int both = answers_both(skb, data, end, carpdev, FLAGS(head));
	if (!both && !(FLAGS(head) & ACCEPT))
		return redirect(port->ifindex, REDIRECT_INGRESS);
	if (both)
		clone_redirect(skb, port->ifindex, REDIRECT_INGRESS);
	skb_change_type(skb, TO_HOST);
	return NEXT;
}

/* The bridge that the carpdev is a port of hears what the port hears, and would answer in the port's place (T17). */
SECTION("classifier/bridge") int bridge(struct __sk_buff *skb)
{
	const u8 *data = (void *)(u64)skb->data, *end = (void *)(u64)skb->data_end;
	if (data + ETH > end || tagged(skb))
		return NEXT;
	return asks_for_shared(skb, data, end) ? DROP : NEXT;
}

/*
 * What the kernel says in ARP on carpdev as a shared address (T2). Our own frames, which the engine and carpN send, have a
 * virtual MAC as Ethernet source.
 */
SECTION("classifier/egress") int egress(struct __sk_buff *skb)
{
	if (LIKELY(skb->protocol != NET16(PROTO_ARP)) || tagged(skb))
		return NEXT;
	u8 frame[ETH + ARP_LENGTH];
	if (skb_load_bytes(skb, 0, frame, sizeof frame))
		return NEXT;
	struct address sender = { { 0, 0, 0xffff0000, 0 } };
	__builtin_memcpy(&sender.word[3], frame + ETH + 14, 4);
	u32 *vhid = map_lookup(&shared, &sender);
	if (!vhid || virtual_at(frame + 6))
		return NEXT;
	struct port *carpdev = entry(0), *port = entry(*vhid & 0xff);
	if (!carpdev || !port || !lives(skb, port))
		return NEXT;
	if (frame[ETH + 6] != 0 || frame[ETH + 7] != 1)
		return DROP;
	if (carpdev->address) {
		u32 own = carpdev->address;
		skb_store_bytes(skb, ETH + 14, &own, 4, 0);
		return NEXT;
	}
	u64 head = head_of(port);
	if (GATE(head) != OPEN || !leased(port))
		return DROP;
	skb_store_bytes(skb, 6, &head, 6, 0);
	skb_store_bytes(skb, ETH + 8, &head, 6, 0);
	return NEXT;
}

/* Which vhid a frame out of a carpN belongs to: its source MAC tells, and where a program chose another, the index. */
INLINE u32 slot_of(const struct __sk_buff *skb, const u8 *data)
{
	u32 slot = virtual_at(data + 6);
	if (LIKELY(slot)) {
		struct port *port = entry(slot);
		if (port && port->ifindex == skb->ifindex)
			return slot;
	}
	for (slot = 1; slot < 256; slot++) {
		struct port *port = entry(slot);
		if (port && port->ifindex == skb->ifindex)
			return slot;
	}
	return 0;
}

/* ARP, neighbour and router discovery, MLD and IGMP teach the others where the shared address is. */
INLINE int speaks_for_the_link(const struct __sk_buff *skb)
{
	u8 kind;
	u32 at;
	switch (skb->protocol) {
	case NET16(PROTO_ARP):
	case NET16(PROTO_RARP):
		return 1;
	case NET16(PROTO_IPV4):
		return skb_load_bytes(skb, ETH + 9, &kind, 1) || kind == IGMP;
	case NET16(PROTO_IPV6):
		switch (upper(skb, &at)) {
		case -1:
			return 1;
		case ICMPV6:
			return skb_load_bytes(skb, at, &kind, 1) || (kind >= 130 && kind <= 137) || kind == 143;
		}
	}
	return 0;
}

/* carpN to carpdev. What is let on goes into the TAP. */
SECTION("classifier/outward") int outward(struct __sk_buff *skb)
{
	const u8 *data = (void *)(u64)skb->data, *end = (void *)(u64)skb->data_end;
	if (data + ETH > end)
		return DROP;
	u32 slot = slot_of(skb, data);
	struct port *carpdev = entry(0), *port = entry(slot);
	struct counters *counters = map_lookup(&tallies, &slot);
	if (!slot || !carpdev || !port || !counters)
		return NEXT;
	u64 head = head_of(port), own = head_of(carpdev);
	/* It waits for the next gate: the copier takes it from there. */
	if (GATE(head) == INWARD)
		return NEXT;
	if (GATE(head) == SHUT || !leased(port) || tagged(skb))
		goto dropped;
	if (GATE(head) == YIELDED) {
		if (speaks_for_the_link(skb) || skb_store_bytes(skb, 6, &own, 6, 0))
			goto dropped;
	}
	passed(&counters->out, skb->len);
	if (FLAGS(head) & CAPTURE) {
		clone_redirect(skb, carpdev->ifindex, 0);
		return NEXT;
	}
	return redirect(carpdev->ifindex, 0);
dropped:
	counters->out.drops++;
	return DROP;
}

SECTION("license") char licence[] = "Dual MIT/GPL";
