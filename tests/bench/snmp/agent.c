/* An SNMP agent for benchmarks: answers v2c GET, GETNEXT and GETBULK for any community, as fast as one core can.
 *
 *     agent PORT MAX_REPLY FLIP_PERCENT DROP_PERCENT
 *
 * It listens on 0.0.0.0 and answers from whichever address it was asked on (IP_PKTINFO), so that all of 127.0.0.0/8 is
 * a city of devices. Every device has 8 scalars and 24 interfaces of 10 columns (see agents.py). Counters move with every
 * reply. FLIP_PERCENT of the replies have some counter, hardly ever the same, that has another length than usual;
 * DROP_PERCENT of the requests get no reply. PORT 0 takes a free one; the port is printed when it is ready. It ends with
 * the process that started it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum { INTEGER = 2, OCTETS = 4, OBJECT = 6, COUNTER32 = 0x41, GAUGE32 = 0x42, TICKS = 0x43, COUNTER64 = 0x46 };
enum { INTERFACES = 24, MOST_OBJECTS = 512, MOST_NAMES = 128, BATCH = 64, REQUEST_MAX = 4096, REPLY_MAX = 65536 };

typedef struct {
    uint8_t name[40];
    int name_size;
    uint8_t tag;
    uint8_t value[64];
    int value_size;
} Object;

static Object objects[MOST_OBJECTS];
static int object_count;
static const Object *named; /* sysName */
static int max_reply, flip_percent, drop_percent;
static uint32_t random_state = 12345;

static uint32_t next_random(void) { return random_state = random_state * 1664525 + 1013904223; }
static int happens(int percent) { return percent && (next_random() >> 8) % 100 < (uint32_t)percent; }

/* -- the objects --------------------------------------------------------------------------------------------------- */

static int encode_name(uint8_t *out, const char *dotted) {
    uint32_t part[40];
    int count = 0, size = 0;
    for (char *rest = (char *)dotted; count < 40; rest++) {
        part[count++] = strtoul(rest, &rest, 10);
        if (*rest != '.') break;
    }
    out[size++] = part[0] * 40 + part[1];
    for (int i = 2; i < count; i++)
        for (int shift = 28; shift >= 0; shift -= 7)
            if (part[i] >> shift || !shift) out[size++] = (part[i] >> shift & 0x7f) | (shift ? 0x80 : 0);
    return size;
}

static Object *add(const char *dotted, uint8_t tag) {
    Object *object = &objects[object_count++];
    object->name_size = encode_name(object->name, dotted);
    object->tag = tag;
    return object;
}

static void add_text(const char *dotted, const char *text) {
    Object *object = add(dotted, OCTETS);
    object->value_size = strlen(text);
    memcpy(object->value, text, object->value_size);
}

static void add_number(const char *dotted, uint8_t tag, uint64_t number) {
    Object *object = add(dotted, tag);
    int size = 1;
    while (size < 9 && (size < 8 ? number >> (8 * size - 1) : number >> 63)) size++;
    for (int i = 0; i < size; i++) object->value[i] = i < size - 8 ? 0 : number >> 8 * (size - 1 - i);
    object->value_size = size;
}

static int compare(const uint8_t *a, int a_size, const uint8_t *b, int b_size) {
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order ? order : a_size - b_size;
}

static int compare_objects(const void *a, const void *b) {
    const Object *left = a, *right = b;
    return compare(left->name, left->name_size, right->name, right->name_size);
}

static void build(void) {
    static const struct { const char *column; uint8_t tag; } columns[] = {
        {"1.3.6.1.2.1.2.2.1.8", INTEGER},         {"1.3.6.1.2.1.2.2.1.13", COUNTER32},
        {"1.3.6.1.2.1.2.2.1.14", COUNTER32},      {"1.3.6.1.2.1.2.2.1.19", COUNTER32},
        {"1.3.6.1.2.1.2.2.1.20", COUNTER32},      {"1.3.6.1.2.1.31.1.1.1.6", COUNTER64},
        {"1.3.6.1.2.1.31.1.1.1.10", COUNTER64},   {"1.3.6.1.2.1.31.1.1.1.15", GAUGE32},
    };
    char name[80], text[40];
    add_text("1.3.6.1.2.1.1.1.0", "bench switch");
    Object *id = add("1.3.6.1.2.1.1.2.0", OBJECT);
    id->value_size = encode_name(id->value, "1.3.6.1.4.1.99999.1");
    add_number("1.3.6.1.2.1.1.3.0", TICKS, 123456789);
    add_text("1.3.6.1.2.1.1.5.0", "switch-________");
    add_number("1.3.6.1.2.1.2.1.0", INTEGER, INTERFACES);
    add_number("1.3.6.1.2.1.11.1.0", COUNTER32, 1234567);
    add_number("1.3.6.1.2.1.11.2.0", COUNTER32, 1234568);
    add_number("1.3.6.1.2.1.25.1.6.0", GAUGE32, 87);
    for (int row = 1; row <= INTERFACES; row++) {
        for (unsigned at = 0; at < sizeof columns / sizeof *columns; at++) {
            snprintf(name, sizeof name, "%s.%d", columns[at].column, row);
            uint64_t number = columns[at].tag == COUNTER64 ? 123456789012ull * row : 100000u * (at + 1) + 77 * row;
            add_number(name, columns[at].tag, columns[at].tag == INTEGER ? 1 : number);
        }
        snprintf(text, sizeof text, "GigabitEthernet1/0/%d", row);
        snprintf(name, sizeof name, "1.3.6.1.2.1.2.2.1.2.%d", row);
        add_text(name, text);
        snprintf(name, sizeof name, "1.3.6.1.2.1.31.1.1.1.1.%d", row);
        snprintf(text, sizeof text, "GE1/0/%d", row);
        add_text(name, text);
    }
    qsort(objects, object_count, sizeof(Object), compare_objects);
    for (named = objects; named->tag != OCTETS || named->value[6] != '-' || named->value[7] != '_'; named++) {}
}

/* The first object at (or, for `next`, behind) a name; object_count when there is none. */
static int find(const uint8_t *name, int size, int next) {
    int low = 0, high = object_count;
    while (low < high) {
        int middle = (low + high) / 2;
        int order = compare(objects[middle].name, objects[middle].name_size, name, size);
        if (order < 0 || (next && order == 0)) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* -- one request --------------------------------------------------------------------------------------------------- */

static int read_length(const uint8_t **at) {
    int length = *(*at)++;
    if (length < 0x80) return length;
    int octets = length & 0x7f;
    for (length = 0; octets--;) length = length << 8 | *(*at)++;
    return length;
}

static int read_number(const uint8_t **at) {
    int number = 0;
    (*at)++;
    for (int octets = read_length(at); octets--;) number = number << 8 | *(*at)++;
    return number;
}

static int put_empty(uint8_t *out, const uint8_t *name, int size, uint8_t tag) {
    uint8_t head[] = {0x30, size + 4, OBJECT, size};
    memcpy(out, head, 4);
    memcpy(out + 4, name, size);
    out[4 + size] = tag;
    out[5 + size] = 0;
    return size + 6;
}

static uint32_t mixed(uint32_t device, const Object *object) {
    return (device ^ (uint32_t)(object - objects) * 2654435761u) * 2246822519u;
}

/* One device's counters are longer than another's, and each has a name of its own: no two devices answer alike. */
static int put(uint8_t *out, const Object *object, int flip, uint32_t device) {
    int counter = object->tag == COUNTER32 || object->tag == COUNTER64;
    int longer = object->tag == COUNTER32 ? flip ^ (mixed(device, object) >> 31) : 0;
    int value_size = object->value_size + longer;
    uint8_t head[] = {0x30, object->name_size + value_size + 4, OBJECT, object->name_size};
    memcpy(out, head, 4);
    memcpy(out + 4, object->name, object->name_size);
    uint8_t *value = out + 4 + object->name_size;
    *value++ = object->tag;
    *value++ = value_size;
    if (longer) *value++ = 1;
    memcpy(value, object->value, object->value_size);
    if (counter) value[object->value_size - 1] = next_random() >> 24;
    if (object == named)
        for (int i = 0; i < 8; i++) value[object->value_size - 1 - i] = 'a' + (device >> 4 * i & 15);
    return 6 + object->name_size + value_size;
}

static int put_head(uint8_t *out, uint8_t tag, int length) {
    uint8_t head[] = {tag, 0x82, length >> 8, length};
    memcpy(out, head, 4);
    return 4;
}

static int answer(const uint8_t *in, int in_size, uint8_t *out, uint32_t device) {
    const uint8_t *at = in, *end = in + in_size, *names[MOST_NAMES];
    int sizes[MOST_NAMES], found[MOST_NAMES], count = 0, used = 0, full = 0, error = 0;
    static uint8_t body[REPLY_MAX];
    if (in_size < 20 || *at++ != 0x30) return 0;
    read_length(&at);
    const uint8_t *envelope = at;
    read_number(&at);
    at++;
    int community = read_length(&at);
    at += community;
    int envelope_size = at - envelope;
    uint8_t kind = *at++;
    read_length(&at);
    const uint8_t *id = at;
    read_number(&at);
    int id_size = at - id, first = read_number(&at), second = read_number(&at);
    at++;
    read_length(&at);
    while (at + 4 < end && count < MOST_NAMES) {
        at++;
        read_length(&at);
        at++;
        sizes[count] = read_length(&at);
        names[count] = at;
        at += sizes[count++] + 1;
        int value = read_length(&at);
        at += value;
    }
    if (at != end) return 0;
    int room = max_reply - envelope_size - id_size - 22, flip = happens(flip_percent) ? 1 + (next_random() >> 8) % 16 : 0;
    int singles = kind == 0xa5 ? (first < count ? first : count) : count, rounds = kind == 0xa5 ? second : 0;
    for (int i = 0; i < count; i++) found[i] = find(names[i], sizes[i], kind != 0xa0);
    for (int step = 0; step < singles + rounds * (count - singles) && !full; step++) {
        int i = step < singles ? step : singles + (step - singles) % (count - singles);
        const Object *object = &objects[found[i] < object_count ? found[i] : object_count - 1];
        int there = found[i] < object_count;
        if (kind == 0xa0) there = there && !compare(object->name, object->name_size, names[i], sizes[i]);
        if (used + object->name_size + object->value_size + 10 > room) {
            full = 1;
            break;
        }
        int longer = there && object->tag == COUNTER32 && flip && !--flip;
        if (there) used += put(body + used, object, longer, device);
        else if (kind == 0xa0) used += put_empty(body + used, names[i], sizes[i], 0x80);
        else used += put_empty(body + used, object->name, object->name_size, 0x82);
        found[i]++;
    }
    if (full && kind != 0xa5) error = 1, used = 0;
    int pdu = id_size + 6 + 4 + used, size = 0;
    size += put_head(out, 0x30, envelope_size + 4 + pdu);
    memcpy(out + size, envelope, envelope_size);
    size += envelope_size;
    size += put_head(out + size, 0xa2, pdu);
    memcpy(out + size, id, id_size);
    size += id_size;
    uint8_t status[] = {INTEGER, 1, error, INTEGER, 1, 0};
    memcpy(out + size, status, 6);
    size += 6;
    size += put_head(out + size, 0x30, used);
    memcpy(out + size, body, used);
    return size + used;
}

/* -- the socket ---------------------------------------------------------------------------------------------------- */

static uint8_t requests[BATCH][REQUEST_MAX], replies[BATCH][REPLY_MAX];

static void serve(int descriptor) {
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec in_data[BATCH], out_data[BATCH];
    struct sockaddr_in peers[BATCH];
    static char control[BATCH][64];
    for (int i = 0; i < BATCH; i++) {
        in_data[i] = (struct iovec){requests[i], REQUEST_MAX};
        in[i].msg_hdr = (struct msghdr){&peers[i], sizeof peers[i], &in_data[i], 1, control[i], 64, 0};
    }
    int received = recvmmsg(descriptor, in, BATCH, MSG_DONTWAIT, NULL), ready = 0;
    for (int i = 0; i < received; i++) {
        if (happens(drop_percent)) continue;
        struct in_pktinfo *info = (void *)CMSG_DATA(CMSG_FIRSTHDR(&in[i].msg_hdr));
        int size = answer(requests[i], in[i].msg_len, replies[ready], info->ipi_addr.s_addr);
        if (!size) continue;
        info->ipi_ifindex = 0;
        info->ipi_spec_dst = info->ipi_addr;
        out_data[ready] = (struct iovec){replies[ready], size};
        out[ready].msg_hdr = in[i].msg_hdr;
        out[ready].msg_hdr.msg_iov = &out_data[ready];
        ready++;
    }
    for (int sent = 0; sent < ready;) {
        int taken = sendmmsg(descriptor, out + sent, ready - sent, 0);
        sent += taken > 0 ? taken : 1;
    }
}

int main(int argc, char **argv) {
    if (argc != 5) return fprintf(stderr, "usage: agent PORT MAX_REPLY FLIP_PERCENT DROP_PERCENT\n"), 2;
    max_reply = atoi(argv[2]);
    flip_percent = atoi(argv[3]);
    drop_percent = atoi(argv[4]);
    build();
    int descriptor = socket(AF_INET, SOCK_DGRAM, 0), on = 1, buffer = 16 << 20;
    setsockopt(descriptor, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
    struct sockaddr_in address = {AF_INET, htons(atoi(argv[1])), {htonl(INADDR_ANY)}, {0}};
    socklen_t size = sizeof address;
    if (bind(descriptor, (void *)&address, size)) return perror("bind"), 1;
    getsockname(descriptor, (void *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    struct pollfd waiting = {descriptor, POLLIN, 0};
    while (poll(&waiting, 1, -1) >= 0) serve(descriptor);
    return 0;
}
