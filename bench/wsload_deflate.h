// The compressed messages of wsload.c, which includes this file where it has all that is used here.

#ifdef NO_ZLIB

static const size_t wire = 0;
static void take_compressed(conn *c, size_t r) { (void)c, (void)r; }
static void next_batch(conn *c) { (void)c; }
static void prepare(conn *c) { (void)c; }
static void build_streams(size_t pay) {
  (void)pay;
  fail("bench/wsload was built without zlib: install zlib1g-dev, remove bench/wsload and run again", NULL);
}

#else

#include <zlib.h>

// A stream is a row of messages that a connection sends again and again. Compressed with takeover, none of them refers to anything
// before the first of the row, so what was compressed once stays right. A row is longer than the window: a server that remembers
// what it sent does not find the same message there.
enum { STREAMS = 16, ROW_OCTETS = 128 * 1024 };

typedef struct {
  char *plain;  // the messages
  char *frames; // the same as frames, twice, so that a batch may go over the end
  size_t *at;   // where each frame begins
} stream;

typedef struct incoming {
  int stream, next; // which message the next batch begins with
  int first;        // which one this batch began with
  unsigned char head[4];
  int headlen;
  size_t need;   // bytes of the payload that are missing
  size_t length; // bytes of it that are here
  unsigned char *payload;
  z_stream *inflater;
} incoming;

static stream streams[STREAMS];
static size_t paylen, paymax, wire;
static int row, takeover;
static unsigned char *inflated;
static z_stream *shared_inflater;

static uint32_t chance(uint32_t below) {
  static uint64_t state = 88172645463325252u;
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (state >> 20) % below;
}

// An array of objects as programs send them: exactly `size` bytes of ASCII.
static void write_json(char *to, size_t size) {
  static const char *given[] = {"Marta", "Ioana", "Chen", "Olu",   "Sven",   "Priya", "Tomas", "Aiko",
                                "Lena",  "Diego", "Sara", "Noah",  "Greta",  "Yusuf", "Clara", "Pavel"};
  static const char *family[] = {"Lindqvist", "Okafor", "Novak",  "Tanaka", "Moreau", "Silva",  "Haddad", "Kowalski",
                                 "Fischer",   "Murphy", "Sharma", "Rossi",  "Jensen", "Petrov", "Garcia", "Wong"};
  static const char *words[] = {"delivery", "to",   "the",  "north", "gate", "was",  "late",    "again", "please", "call", "before", "noon",
                                "invoice",  "sent", "and",  "paid",  "in",   "two",  "parts",   "checked", "by",   "hand", "at",     "station"};
  static const char *states[] = {"open", "shipped", "returned", "cancelled", "on hold"};
  size_t n = 0;
  to[n++] = '[';
  for (;;) {
    char b[512], note[128] = "";
    for (int i = 0, count = 2 + chance(6); i < count; i++) strcat(strcat(note, i ? " " : ""), words[chance(24)]);
    int length = snprintf(b, sizeof b, "{\"id\":%u,\"customer\":\"%s %s\",", 100000 + chance(900000), given[chance(16)], family[chance(16)]);
    length += snprintf(b + length, sizeof b - length, "\"placed\":\"20%02u-%02u-%02uT%02u:%02u:%02uZ\",", 18 + chance(9), 1 + chance(12),
                       1 + chance(28), chance(24), chance(60), chance(60));
    length += snprintf(b + length, sizeof b - length, "\"total\":%u.%02u,\"items\":%u,\"state\":\"%s\",\"urgent\":%s,\"note\":\"%s\"},",
                       chance(2000), chance(100), 1 + chance(40), states[chance(5)], chance(4) ? "false" : "true", note);
    if (n + length + 24 > size) break;
    memcpy(to + n, b, length);
    n += length;
  }
  n += sprintf(to + n, "{\"rest\":\"");
  while (n < size - 3) {
    for (const char *w = words[chance(24)]; *w && n < size - 3; w++) to[n++] = *w;
    if (n < size - 3) to[n++] = ' ';
  }
  memcpy(to + n, "\"}]", 3);
}

static size_t write_frame(char *to, const unsigned char *payload, size_t length) {
  static const unsigned char key[4] = {0x12, 0x34, 0x56, 0x78};
  size_t n = 0;
  to[n++] = 0xc1; // FIN, RSV1, text
  if (length < 126) to[n++] = 0x80 | length;
  else to[n++] = 0x80 | 126, to[n++] = length >> 8, to[n++] = length;
  memcpy(to + n, key, 4);
  n += 4;
  for (size_t i = 0; i < length; i++) to[n++] = payload[i] ^ key[i & 3];
  return n;
}

static z_stream *make_inflater(void) {
  z_stream *z = calloc(1, sizeof *z);
  if (inflateInit2(z, -15) != Z_OK) fail("zlib cannot inflate", NULL);
  return z;
}

static void build_streams(size_t pay) {
  if (pay < 128 || pay > 32768) fail("compressed messages have 128 to 32768 bytes", NULL);
  paylen = pay;
  paymax = pay + pay / 8 + 64;
  takeover = !strstr(offer, "server_no_context_takeover");
  row = ROW_OCTETS / pay > (size_t)pipeline ? ROW_OCTETS / pay : (size_t)pipeline;
  unsigned char *deflated = malloc(paymax);
  inflated = malloc(pay + 1);
  shared_inflater = make_inflater();
  for (int s = 0; s < STREAMS; s++) {
    stream *it = &streams[s];
    it->plain = malloc(row * pay);
    it->frames = malloc(2 * row * (paymax + 8));
    it->at = malloc((2 * row + 1) * sizeof *it->at);
    z_stream z = {0};
    if (deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK) fail("zlib cannot compress", NULL);
    size_t n = 0;
    for (int i = 0; i < row; i++) {
      write_json(it->plain + i * pay, pay);
      if (!takeover) deflateReset(&z);
      z.next_in = (unsigned char *)it->plain + i * pay;
      z.avail_in = pay;
      z.next_out = deflated;
      z.avail_out = paymax;
      if (deflate(&z, Z_SYNC_FLUSH) != Z_OK || z.avail_out == 0) fail("zlib failed", NULL);
      it->at[i] = n;
      n += write_frame(it->frames + n, deflated, paymax - z.avail_out - 4);
    }
    deflateEnd(&z);
    memcpy(it->frames + n, it->frames, n);
    for (int i = 0; i < row; i++) it->at[row + i] = n + it->at[i];
    it->at[2 * row] = 2 * n;
  }
  free(deflated);
}

// Gives a connection its stream and what it needs to read the responses.
static void prepare(conn *c) {
  incoming *in = c->in = calloc(1, sizeof *in);
  int i = c - cs;
  in->stream = i % STREAMS;
  // Where nothing refers to what came before, a row may begin anywhere: hardly any two connections send the same at a time.
  in->next = takeover ? 0 : i / STREAMS * 7 % row;
  in->payload = malloc(paymax);
  // One message can be inflated without a context of its own.
  in->inflater = takeover && mode != 'i' ? make_inflater() : shared_inflater;
  c->want = pipeline;
}

static void next_batch(conn *c) {
  incoming *in = c->in;
  stream *it = &streams[in->stream];
  in->first = in->next;
  c->out = it->frames + it->at[in->first];
  c->outlen = it->at[in->first + pipeline] - it->at[in->first];
  in->next = (in->first + pipeline) % row;
}

static void check_payload(conn *c) {
  incoming *in = c->in, *sent = mode == 'b' ? cs[0].in : in;
  z_stream *z = in->inflater;
  static unsigned char tail[] = {0, 0, 0xff, 0xff};
  if (!takeover || mode == 'i') inflateReset(z);
  memcpy(in->payload + in->length, tail, sizeof tail);
  z->next_out = inflated;
  z->avail_out = paylen + 1;
  z->next_in = in->payload;
  z->avail_in = in->length + sizeof tail;
  if (inflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in > 0) fail("what came back cannot be inflated", z->msg);
  int i = (sent->first + pipeline - (int)c->want) % row;
  if (z->avail_out != 1 || memcmp(inflated, streams[sent->stream].plain + i * paylen, paylen)) {
    fail("what came back is not the response", NULL);
  }
}

// Bytes that came back on a connection: whole messages of this batch, of whatever size the server made them?
static void take_compressed(conn *c, size_t r) {
  incoming *in = c->in;
  int checks = takeover || c->batches % VERIFY_EVERY == 0;
  for (size_t i = 0; i < r;) {
    if (c->want == 0) fail("more came back than was sent", NULL);
    if (in->need == 0) {
      in->head[in->headlen++] = sink[i++];
      if (in->headlen < 2) continue;
      if (in->head[0] != 0xc1) fail("what came back is no compressed text in one frame", NULL);
      if (in->head[1] < 126) in->need = in->head[1];
      else if (in->headlen < 4) continue;
      else in->need = in->head[2] << 8 | in->head[3];
      if (in->head[1] > 126 || in->need + 4 > paymax || in->need == 0) fail("what came back has a strange length", NULL);
      in->headlen = 0;
      in->length = 0;
      wire += in->need;
      continue;
    }
    size_t n = r - i < in->need ? r - i : in->need;
    if (checks) memcpy(in->payload + in->length, sink + i, n);
    in->length += n;
    in->need -= n;
    i += n;
    if (in->need > 0) continue;
    if (checks) check_payload(c);
    if (--c->want == 0) c->batches++;
  }
}

#endif
