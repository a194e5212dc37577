/* CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), as fast as the machine has it.

   x86-64 with SSE 4.2 and ARMv8 with CRC have an instruction for eight bytes; whether an x86-64 has
   it is asked when the module is loaded. Elsewhere eight tables take eight bytes at a time ("slicing
   by 8": Kounavis and Berry, "A Systematic Approach to Building High Performance Software-based CRC
   Generators", 2005). Included once, by the module that Cython makes of hot.py. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint32_t crc32c_tables[8][256];

static void crc32c_fill_tables(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
        crc32c_tables[0][byte] = crc;
    }
    for (int table = 1; table < 8; table++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t last = crc32c_tables[table - 1][byte];
            crc32c_tables[table][byte] = last >> 8 ^ crc32c_tables[0][last & 255];
        }
}

static uint32_t crc32c_by_table(uint32_t crc, const unsigned char *data, size_t size) {
    while (size >= 8) {
        uint32_t low = crc ^ ((uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
                              (uint32_t)data[3] << 24);
        crc = crc32c_tables[7][low & 255] ^ crc32c_tables[6][low >> 8 & 255] ^
              crc32c_tables[5][low >> 16 & 255] ^ crc32c_tables[4][low >> 24] ^
              crc32c_tables[3][data[4]] ^ crc32c_tables[2][data[5]] ^
              crc32c_tables[1][data[6]] ^ crc32c_tables[0][data[7]];
        data += 8;
        size -= 8;
    }
    while (size--)
        crc = crc >> 8 ^ crc32c_tables[0][(crc ^ *data++) & 255];
    return crc;
}

static uint32_t (*crc32c_raw)(uint32_t, const unsigned char *, size_t) = crc32c_by_table;

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t
crc32c_by_instruction(uint32_t start, const unsigned char *data, size_t size) {
    uint64_t crc = start;
    while (size >= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        crc = _mm_crc32_u64(crc, word);
        data += 8;
        size -= 8;
    }
    uint32_t left = (uint32_t)crc;
    while (size--)
        left = _mm_crc32_u8(left, *data++);
    return left;
}

static void crc32c_choose(void) {
    if (__builtin_cpu_supports("sse4.2"))
        crc32c_raw = crc32c_by_instruction;
}
#elif defined(__ARM_FEATURE_CRC32) && defined(__LITTLE_ENDIAN__)
#include <arm_acle.h>

static uint32_t crc32c_by_instruction(uint32_t crc, const unsigned char *data, size_t size) {
    while (size >= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        crc = __crc32cd(crc, word);
        data += 8;
        size -= 8;
    }
    while (size--)
        crc = __crc32cb(crc, *data++);
    return crc;
}

static void crc32c_choose(void) { crc32c_raw = crc32c_by_instruction; }
#else
static void crc32c_choose(void) {}
#endif

static void crc32c_prepare(int tables_only) {
    crc32c_fill_tables();
    crc32c_raw = crc32c_by_table;
    if (!tables_only)
        crc32c_choose();
}

/* The checksum of what has the checksum `crc`, with `size` more bytes behind it. */
static uint32_t crc32c_more(uint32_t crc, const unsigned char *data, size_t size) {
    return ~crc32c_raw(~crc, data, size);
}
