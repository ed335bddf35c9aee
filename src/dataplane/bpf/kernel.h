/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* What the programs use of the kernel's stable interface (linux/bpf.h, linux/pkt_cls.h), so that they need no headers. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

/* The head of struct __sk_buff. */
struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol; /* network order */
	u32 vlan_present;
	u32 vlan_tci;
	u32 vlan_proto; /* network order */
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
	u32 tc_index;
	u32 cb[5];
	u32 hash;
	u32 tc_classid;
	u32 data;
	u32 data_end;
};

/* struct bpf_map_def of the loaders that need no BTF. */
struct map_def {
	u32 type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 map_flags;
	u32 id;
	u32 pinning;
};

enum { MAP_HASH = 1, MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6 };
enum { NO_PREALLOC = 1, MMAPABLE = 1024 };

/* Verdicts of tc and tcx. NEXT is TC_ACT_UNSPEC and TCX_NEXT: whoever comes after us decides. */
enum { NEXT = -1, DROP = 2 };

enum { REDIRECT_INGRESS = 1, TO_HOST = 0, TO_ANOTHER = 3 };

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const skb_store_bytes)(struct __sk_buff *skb, u32 at, const void *from, u32 length,
				     u64 flags) = (void *)9;
static long (*const clone_redirect)(struct __sk_buff *skb, u32 ifindex, u64 flags) = (void *)13;
static long (*const redirect)(u32 ifindex, u64 flags) = (void *)23;
static long (*const skb_load_bytes)(const struct __sk_buff *skb, u32 at, void *to,
				    u32 length) = (void *)26;
static long (*const skb_change_type)(struct __sk_buff *skb, u32 type) = (void *)32;
static u64 (*const jiffies64)(void) = (void *)118;
static u64 (*const ktime_get_boot_ns)(void) = (void *)125;
static long (*const check_mtu)(void *skb, u32 ifindex, u32 *length, int difference,
			       u64 flags) = (void *)163;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define NET16(x) ((u16)__builtin_bswap16(x))
#define NET32(x) ((u32)__builtin_bswap32(x))
