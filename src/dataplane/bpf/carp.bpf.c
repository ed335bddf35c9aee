/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The data plane in the kernel. One instance of this object serves a carpdev and every carpN on it; the contract is in
 * ../mod.rs.
 *
 * Numbers are little-endian in the committed object, as on every machine that carp runs on.
 */
#include "kernel.h"
#include "layout.h"

enum { ETH = 14, ARP_LENGTH = 28 };
enum { PROTO_IPV4 = 0x0800, PROTO_ARP = 0x0806, PROTO_RARP = 0x8035, PROTO_VLAN = 0x8100, PROTO_IPV6 = 0x86dd,
       PROTO_SERVICE_VLAN = 0x88a8 };
enum { IGMP = 2, ICMPV6 = 58, SOLICITATION = 135, ADVERTISEMENT = 136 };
/* Where the addresses are. */
enum { ADDRESSES4 = ETH + 12, ADDRESSES6 = ETH + 8 };
/* How many IPv6 extension headers are followed. Real packets have one or two. */
enum { EXTENSIONS = 8 };

/* Nanoseconds that the questions for an address are kept from the kernel after the last lease on the carpdev. */
#define GRACE 20000000000ULL

/*
 * Reading the clock takes longer than all else that a program does with a frame. So what it said is used again, by the same
 * processor, within one tick (1 to 10 ms, and at most five where the kernel's tick stands still), for so many frames, and for
 * leases that have more than SLACK nanoseconds left.
 */
#define SLACK 64000000ULL
enum { FRAMES = 32 };

INLINE struct address mapped(const u8 *ip)
{
	struct address address;
	address.word[0] = address.word[1] = 0;
	address.word[2] = 0xffff0000;
	__builtin_memcpy(&address.word[3], ip, 4);
	return address;
}

INLINE struct port *entry(u32 slot)
{
	return map_lookup(&ports, &slot);
}

/* Written by another processor at any time: read once. */
INLINE u64 head_of(const struct port *port)
{
	return *(const volatile u64 *)&port->head;
}

INLINE u64 unit_of(const struct port *port)
{
	return *(const volatile u64 *)&port->unit;
}

INLINE int leased(const struct port *port, struct reading *reading)
{
	u64 lease = *(const volatile u64 *)&port->lease, now;
	u32 tick = (u32)jiffies64();
	if (LIKELY(reading->left && reading->tick == tick && reading->time + SLACK < lease)) {
		reading->left--;
		return 1;
	}
	now = ktime_get_boot_ns();
	reading->time = now;
	reading->tick = tick;
	reading->left = FRAMES;
	return now < lease;
}

/* Past the lease a gate is shut. */
INLINE u8 gate_now(const struct port *port, u64 head, struct reading *reading)
{
	return GATE(head) != SHUT && leased(port, reading) ? GATE(head) : SHUT;
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

INLINE u64 mac_at(const u8 *mac)
{
	return (u64) * (const u32 *)mac | (u64) * (const u16 *)(mac + 4) << 32;
}

/* The vhid whose virtual MAC, or the multicast form of it, stands there, else 0. */
INLINE u32 virtual_at(const u8 *mac)
{
	u32 prefix = *(const u32 *)mac;
	if (LIKELY((prefix & ~1U) != 0x005e0000 || mac[4] != 1))
		return 0;
	return mac[5];
}

/* The same for a MAC that an admin chose. */
INLINE u32 odd_at(const struct port *carpdev, const u8 *mac)
{
	u64 key = mac_at(mac);
	u32 *vhid;
	if (LIKELY(!(FLAGS(head_of(carpdev)) & ODD)) || !(vhid = map_lookup(&odd, &key)))
		return 0;
	return *vhid & 0xff;
}

/* One whose MAC is a multicast one has the plain form as well. */
INLINE int serves(u64 head, u64 mac)
{
	return (head & MAC_BITS) == mac || ((FLAGS(head) & FOLD) && (head & MAC_BITS & ~1ULL) == mac);
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
 * moment before its addresses are, and others may have the same, hence the grace for all of the carpdev (T30).
 */
INLINE int lives(struct __sk_buff *skb, const struct port *port)
{
	u32 length = 0;
	struct port *carpdev = entry(0);
	if (port->ifindex && check_mtu(skb, port->ifindex, &length, 0, 0) >= 0)
		return 1;
	return carpdev && ktime_get_boot_ns() < *(const volatile u64 *)&carpdev->lease + GRACE;
}

/* The question is for an address that is, or may be, on a carpN here: the engine answers. */
INLINE int ours_to_answer(struct __sk_buff *skb, struct address *target)
{
	u32 *vhid = map_lookup(&shared, target);
	if (!vhid)
		return 0;
	struct port *port = entry(*vhid & 0xff);
	return port && lives(skb, port);
}

/* What a frame asks or answers. Behind eight extension headers a solicitation could hide. */
enum { NOTHING, FOR_SHARED, UNCLEAR, REPLIES, ADVERTISES };

/* An ARP request or a neighbour solicitation for a shared address, whatever its Ethernet destination, or what answers one. */
INLINE int question(struct __sk_buff *skb, const u8 *data, const u8 *end)
{
	struct address target;
	u32 at;
	u8 kind;
	if (skb->protocol == NET16(PROTO_ARP)) {
		u8 arp[ARP_LENGTH];
		if (skb_load_bytes(skb, ETH, arp, sizeof arp) || arp[6] != 0)
			return NOTHING;
		if (arp[7] != 1)
			return arp[7] == 2 ? REPLIES : NOTHING;
		target = mapped(arp + 24);
		return ours_to_answer(skb, &target) ? FOR_SHARED : NOTHING;
	}
	if (skb->protocol != NET16(PROTO_IPV6))
		return NOTHING;
	/* TCP and UDP, nearly always. */
	if (LIKELY(data + ETH + 7 <= end && (data[ETH + 6] == 6 || data[ETH + 6] == 17)))
		return NOTHING;
	switch (upper(skb, &at)) {
	case -1:
		return UNCLEAR;
	case ICMPV6:
		break;
	default:
		return NOTHING;
	}
	if (skb_load_bytes(skb, at, &kind, 1))
		return NOTHING;
	if (kind == ADVERTISEMENT)
		return ADVERTISES;
	if (kind != SOLICITATION || skb_load_bytes(skb, at + 8, &target, sizeof target))
		return NOTHING;
	return ours_to_answer(skb, &target) ? FOR_SHARED : NOTHING;
}

/* Read whole: without CAP_PERFMON the verifier refuses a pointer that depends on a number. */
INLINE u32 member(const struct port *port, u32 place)
{
	const volatile u64 *members = port->members;
	u64 first = members[0], second = members[1], third = members[2], fourth = members[3];
	u64 eight = place < 16 ? (place < 8 ? first : second) : (place < 24 ? third : fourth);
	return (u8)(eight >> (place % 8 * 8));
}

enum { THEIRS = -3, CUT = -2, NO_PACKET = -1 };

/*
 * Which of `count` vhosts has an IP packet: the exclusive or of all words of its addresses, as a number, modulo count (share.rs
 * beside this directory). THEIRS is a packet for a group whose MAC is by chance ours: the stack on carpdev has it.
 */
INLINE int share_of(const struct __sk_buff *skb, u64 mac, u8 count)
{
	u32 word[8], fold = 0;
	u8 to;
	if (skb->protocol == NET16(PROTO_IPV4)) {
		if (skb_load_bytes(skb, ADDRESSES4, word, 8))
			return CUT;
		fold = word[0] ^ word[1];
		to = (u8)word[1];
		if ((mac & 1) && to >= 224 && to < 240)
			return THEIRS;
	} else if (skb->protocol == NET16(PROTO_IPV6)) {
		if (skb_load_bytes(skb, ADDRESSES6, word, sizeof word))
			return CUT;
		for (int i = 0; i < 8; i++)
			fold ^= word[i];
		if ((mac & 1) && (u8)word[4] == 0xff)
			return THEIRS;
	} else {
		return NO_PACKET;
	}
	return count ? (int)(NET32(fold) % count) : CUT;
}

/* The same for what leaves; but what waits, waits without a lease, too. */
INLINE u8 gate_out(const struct port *port, struct reading *reading)
{
	u64 head = head_of(port);
	return GATE(head) == INWARD ? INWARD : gate_now(port, head, reading);
}

/* Who speaks for a carpN: its first vhost, or when another lets more pass, that one. */
INLINE struct port *speaker(struct port *first, u8 *gate, struct reading *reading)
{
	u64 unit = unit_of(first);
	*gate = gate_out(first, reading);
	if (LIKELY(*gate == OPEN || COUNT(unit) < 2))
		return first;
	struct port *deputy = entry(DEPUTY(unit));
	if (!deputy)
		return first;
	u8 theirs = gate_out(deputy, reading);
	if (theirs <= *gate)
		return first;
	*gate = theirs;
	return deputy;
}

/* The vhost that has a frame to the MAC of the first of several that share it; 0 when the frame is none of theirs. */
INLINE struct port *selected(const struct __sk_buff *skb, struct port *first, u64 mac, u32 *slot)
{
	struct reading fresh = { 0 };
	u8 gate;
	int place = share_of(skb, mac, COUNT(unit_of(first)));
	if (place == THEIRS)
		return 0;
	if (place == NO_PACKET)
		return speaker(first, &gate, &fresh);
	/* One that is cut has no vhost: entry 0 of a carpdev has no gate. */
	*slot = place < 0 ? 0 : member(first, place);
	return entry(*slot);
}

/* A bridge must pass on what is not for us; its own responder is kept silent at its own door. */
INLINE int bridged(const struct port *carpdev)
{
	return FLAGS(head_of(carpdev)) & BRIDGED;
}

/*
 * What the engine alone is to hear. Its sockets are behind us, as are the kernel's responders, which pass over what is for
 * another host, and those of macvlans upon the carpdev, which get every broadcast (T1). The engine does not tell one from a
 * frame to the carpdev itself. On the port of a bridge its sockets are before us.
 */
INLINE int withhold(struct __sk_buff *skb, const struct port *carpdev, u64 mac)
{
	u64 head = head_of(carpdev);
	if (FLAGS(head) & BRIDGED)
		return NEXT;
	if ((mac & 1) && skb_store_bytes(skb, 0, &head, 6, 0))
		return DROP;
	skb->mark = WITHHELD;
	return skb_change_type(skb, TO_ANOTHER) ? DROP : NEXT;
}

/* carpN takes a frame for its own when it is addressed to its own MAC. */
INLINE long to_carpn(struct __sk_buff *skb, const struct port *port, u64 mac)
{
	u64 unit = unit_of(port);
	return mac == (unit & MAC_BITS) ? 0 : skb_store_bytes(skb, 0, &unit, 6, 0);
}

/*
 * What a neighbour answers is for the tables of both: where frames stay on carpdev, for that of carpN, which asked as well;
 * otherwise for that of a carpdev without an address of its own, which asked as the shared one (T2). In IPv6 the engine looks
 * who was answered.
 */
INLINE int answered(struct __sk_buff *skb, const struct port *carpdev, const struct port *port, u64 mac, int asks, u8 stays)
{
	u32 ifindex = port->ifindex;
	u8 heard = asks == ADVERTISES && !bridged(carpdev);
	u8 both = stays || heard || (asks == REPLIES && !carpdev->address);
	if (to_carpn(skb, port, mac))
		return DROP;
	if (!both)
		return redirect(ifindex, REDIRECT_INGRESS);
	clone_redirect(skb, ifindex, REDIRECT_INGRESS);
	if (skb_store_bytes(skb, 0, &mac, 6, 0))
		return DROP;
	if (heard && !stays)
		return withhold(skb, carpdev, mac);
	skb_change_type(skb, TO_HOST);
	return NEXT;
}

/*
 * carpdev to carpN. Most frames need one line of memory, their port's, beside that of the counters: at a thousand frames a
 * second each further one costs as much as the rest.
 */
SECTION("classifier/ingress") int ingress(struct __sk_buff *skb)
{
	const u8 *data = (void *)(u64)skb->data, *end = (void *)(u64)skb->data_end;
	struct port *carpdev = entry(0), *port = 0;
	if (data + ETH > end || !carpdev)
		return NEXT;
	if (tagged(skb)) {
		/* Of VLAN 0 the kernel forgets every tag, also one that is not ours, before the engine's sockets hear the frame. */
		if (skb->vlan_present && !(skb->vlan_tci & 0xfff))
			skb->mark = TAGGED;
		return NEXT;
	}
	int asks = question(skb, data, end);
	u64 mac = mac_at(data);
	if (asks == FOR_SHARED)
		return withhold(skb, carpdev, mac);
	u32 slot = virtual_at(data);
	if (!slot)
		slot = odd_at(carpdev, data);
	if (slot) {
		port = entry(slot);
		if (port && !serves(head_of(port), mac))
			port = 0;
	}
	if (!port)
		return NEXT;
	if (FLAGS(head_of(port)) & FOLD) {
		port = selected(skb, port, mac, &slot);
		if (!port)
			return NEXT;
	}
	struct counters *counters = map_lookup(&tallies, &slot);
	if (!counters)
		return NEXT;
	u64 head = head_of(port);
	if (gate_now(port, head, &counters->reading) == SHUT || asks == UNCLEAR) {
		counters->in.drops++;
		return bridged(carpdev) ? NEXT : DROP;
	}
	passed(&counters->in, skb->len);
	u8 stays = FLAGS(head) & ACCEPT;
	if (UNLIKELY(asks == REPLIES || asks == ADVERTISES))
		return answered(skb, carpdev, port, mac, asks, stays);
	if (stays) {
		skb_change_type(skb, TO_HOST);
		return NEXT;
	}
	u32 ifindex = port->ifindex;
	if (to_carpn(skb, port, mac))
		return DROP;
	return redirect(ifindex, REDIRECT_INGRESS);
}

/*
 * The bridge that the carpdev is a port of hears what the port hears, and would answer in the port's place (T17), or take the
 * packets that are not ours where a multicast MAC brings those of all hosts.
 */
SECTION("classifier/bridge") int bridge(struct __sk_buff *skb)
{
	const u8 *data = (void *)(u64)skb->data, *end = (void *)(u64)skb->data_end;
	if (data + ETH > end || tagged(skb))
		return NEXT;
	if (question(skb, data, end) == FOR_SHARED)
		return DROP;
	u64 mac = mac_at(data);
	u32 slot = virtual_at(data);
	if (LIKELY(!slot || !(mac & 1)))
		return NEXT;
	struct port *port = entry(slot);
	return port && (FLAGS(head_of(port)) & FOLD) && serves(head_of(port), mac) && share_of(skb, mac, 1) == 0
		       ? DROP
		       : NEXT;
}

/* Where in a frame ARP names its sender. */
enum { SENDER_MAC = ETH + 8, SENDER_IP = ETH + 14 };

/* An ARP request that leaves: `first` is the first vhost of the carpN that asks, `speaker` that of its vhosts which may. */
INLINE void ask_as(struct __sk_buff *skb, struct port *first, struct port *speaker)
{
	u64 name = head_of(first);
	u32 nobody = 0;
	if (!(FLAGS(name) & FOLD))
		name = head_of(speaker);
	skb_store_bytes(skb, SENDER_MAC, &name, 6, 0);
	if (FLAGS(name) & PROBES)
		skb_store_bytes(skb, SENDER_IP, &nobody, 4, 0);
}

/* Said here, by a MASTER past its lease: what an engine had begun to say before it was stopped. */
INLINE int late(const struct __sk_buff *skb, const struct port *port)
{
	struct reading fresh = { 0 };
	return port && !skb->ingress_ifindex && GATE(head_of(port)) != SHUT && !leased(port, &fresh);
}

/*
 * What the kernel says in ARP on carpdev as a shared address (T2). Our own frames, which the engine and carpN send, name one of
 * our MACs as the sender's.
 */
SECTION("classifier/egress") int egress(struct __sk_buff *skb)
{
	if (LIKELY(skb->protocol != NET16(PROTO_ARP)) || tagged(skb))
		return NEXT;
	u8 frame[ETH + ARP_LENGTH], gate;
	struct reading fresh = { 0 };
	if (skb_load_bytes(skb, 0, frame, sizeof frame))
		return NEXT;
	struct address sender = mapped(frame + SENDER_IP);
	u32 *vhid = map_lookup(&shared, &sender);
	struct port *carpdev = entry(0);
	if (!vhid || !carpdev)
		return NEXT;
	u32 slot = virtual_at(frame + SENDER_MAC);
	if (!slot)
		slot = odd_at(carpdev, frame + SENDER_MAC);
	if (slot)
		return late(skb, entry(slot)) ? DROP : NEXT;
	struct port *first = entry(*vhid & 0xff);
	if (!first || !lives(skb, first))
		return NEXT;
	if (frame[ETH + 6] != 0 || frame[ETH + 7] != 1)
		return DROP;
	if (carpdev->address) {
		u32 own = carpdev->address;
		skb_store_bytes(skb, SENDER_IP, &own, 4, 0);
		return NEXT;
	}
	struct port *who = speaker(first, &gate, &fresh);
	if (gate != OPEN)
		return DROP;
	u64 source = head_of(who);
	if (!(FLAGS(source) & FOLD))
		skb_store_bytes(skb, 6, &source, 6, 0);
	ask_as(skb, first, who);
	return NEXT;
}

/* The first vhost of the carpN that a frame comes from: its source MAC tells, and where a program chose another, the index. */
INLINE u32 slot_of(const struct __sk_buff *skb, const struct port *carpdev, const u8 *data)
{
	u32 slot = virtual_at(data + 6);
	if (!slot)
		slot = odd_at(carpdev, data + 6);
	struct port *port = slot ? entry(slot) : 0;
	if (LIKELY(port && port->ifindex == skb->ifindex))
		return (u8)port->members[0];
	for (slot = 1; slot < 256; slot++) {
		port = entry(slot);
		if (port && port->ifindex == skb->ifindex)
			return (u8)port->members[0];
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
	struct port *carpdev = entry(0);
	if (data + ETH > end || !carpdev)
		return DROP;
	u32 slot = slot_of(skb, carpdev, data);
	struct port *first = entry(slot);
	struct counters *counters = map_lookup(&tallies, &slot);
	if (!slot || !first || !counters)
		return NEXT;
	u8 gate;
	struct port *who = speaker(first, &gate, &counters->reading);
	u64 head = head_of(first), source = head_of(who);
	/* It waits for the next gate: the copier takes it from there. */
	if (gate == INWARD)
		return NEXT;
	if (gate == SHUT || tagged(skb))
		goto dropped;
	if (gate == YIELDED && speaks_for_the_link(skb))
		goto dropped;
	if (gate == YIELDED || (FLAGS(head) & UNLEARNT))
		source = head_of(carpdev);
	else if (source == head || (FLAGS(head) & FOLD))
		source = 0;
	if (source && skb_store_bytes(skb, 6, &source, 6, 0))
		goto dropped;
	u64 unit = unit_of(first), asker = 0;
	if (skb->protocol == NET16(PROTO_ARP) && (COUNT(unit) > 1 || (FLAGS(head) & PROBES)) &&
	    !skb_load_bytes(skb, SENDER_MAC, &asker, 6) && asker == (unit & MAC_BITS))
		ask_as(skb, first, who);
	passed(&counters->out, skb->len);
	if (FLAGS(head) & CAPTURE) {
		clone_redirect(skb, first->carpdev, 0);
		return NEXT;
	}
	return redirect(first->carpdev, 0);
dropped:
	counters->out.drops++;
	return DROP;
}

SECTION("license") char licence[] = "Dual MIT/GPL";
