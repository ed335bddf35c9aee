/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * What the maps hold: the other side of it is in ports.rs and object.rs beside this file. Maps and programs go on under another
 * version of the daemon, so a change here is another LAYOUT in mod.rs.
 */

/* The more of it a vhost makes its port's, the higher. */
enum { SHUT, YIELDED, INWARD, OPEN };
enum { ACCEPT = 1, CAPTURE = 2, FOLD = 4, UNLEARNT = 8, PROBES = 16 };
/* Flags of entry 0. */
enum { BRIDGED = 1, ODD = 2 };
/* The most vhosts of a carpN. */
enum { VHOSTS = 32 };
/* The marks of a frame that only the engine's sockets are to take, and of one that they are not to. */
#define WITHHELD 0x63617270
#define TAGGED 0x63617271

/* The MAC fills the low six bytes of a head, then come gate and flags: one word, so that they change together. */
#define MAC_BITS 0xffffffffffffULL
#define GATE(head) ((u8)((head) >> 48))
#define FLAGS(head) ((u8)((head) >> 56))
/* Of a unit likewise: carpN's own MAC, the number of vhosts, the deputy. */
#define COUNT(unit) ((u8)((unit) >> 48))
#define DEPUTY(unit) ((u8)((unit) >> 56))

/*
 * Entry v is vhid v, the last byte of most virtual MACs. Entry 0 is the carpdev: own MAC, own index, own IPv4 address, and the
 * lease that lasts longest of all that there have been. The daemon has it mapped into its memory and stores heads, leases and units while frames pass.
 */
struct port {
	u64 head;
	u32 ifindex;
	union {
		u32 address; /* entry 0: network order, 0 for none */
		u32 carpdev; /* the others: its index, so that what leaves needs no look at entry 0 */
	};
	u64 lease;   /* CLOCK_BOOTTIME, nanoseconds */
	/* What the vhosts of one carpN have in common. The deputy is who speaks for it when the first one does not. */
	u64 unit;
	u64 members[VHOSTS / 8]; /* their vhids, one a byte, ascending */
};

struct tally {
	u64 frames;
	u64 bytes;
	u64 drops;
};

/* What the clock of the leases said when it was last read, in which tick, and for how many frames more that will do. */
struct reading {
	u64 time;
	u32 tick;
	u32 left;
};

/* Of a carpN on one processor. */
struct counters {
	struct tally in;
	struct tally out;
	struct reading reading;
};

/* IPv4 addresses as ::ffff:a.b.c.d, in network order. */
struct address {
	u32 word[4];
};

SECTION("maps") struct map_def ports = { MAP_ARRAY, 4, sizeof(struct port), 256, MMAPABLE, 0, 0 };
/* MAC -> vhid, of those that do not tell it. */
SECTION("maps") struct map_def odd = { MAP_HASH, sizeof(u64), 4, 256, NO_PREALLOC, 0, 0 };
/* Shared address -> vhid. */
SECTION("maps") struct map_def shared = { MAP_HASH, sizeof(struct address), 4, 8192, NO_PREALLOC, 0, 0 };
SECTION("maps") struct map_def tallies = { MAP_PERCPU_ARRAY, 4, sizeof(struct counters), 256, 0, 0, 0 };
