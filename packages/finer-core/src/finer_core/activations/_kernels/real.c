/* Real activations, each in one pass over memory: value, slope, or gradient.

   PyTorch computes sin(omega_0 (|z| + 1) z) and its slope in six passes, and the sine and the cosine of a phase each by
   itself; here both come from one reduction to an eighth of a turn. Plain loops that any C compiler turns into vector
   instructions. native.py builds them, for one FUNCTION of those below, and says what `parameters` hold.
*/

#include "elementary.h"

typedef struct {
  float value, slope;
} both;

/* sin(omega_0 z) */
INLINE both sine(float z, parameters p, int *is_far, int by_library) {
  float s, c;
  sine_and_cosine(p.omega_0 * z, &s, &c, is_far, by_library);
  return (both){s, p.omega_0 * c};
}

/* sin(omega_0 (|z| + 1) z); its factor's derivative counts if `held` is 2, and not if it is 1 */
INLINE both finer(float z, parameters p, int *is_far, int by_library) {
  float s, c, size = fabsf(z);
  sine_and_cosine(p.omega_0 * (size + 1) * z, &s, &c, is_far, by_library);
  return (both){s, p.omega_0 * (p.held * size + 1) * c};
}

/* exp(-(scale z)^2) */
INLINE both gauss(float z, parameters p, int *is_far, int by_library) {
  float t = p.scale * z, bell = envelope(-t * t);
  return (both){bell, -2 * p.scale * t * bell};
}

/* cos(omega_w z) exp(-(scale z)^2) */
INLINE both real_wire(float z, parameters p, int *is_far, int by_library) {
  float s, c, t = p.scale * z, bell = envelope(-t * t);
  sine_and_cosine(p.omega_w * z, &s, &c, is_far, by_library);
  return (both){c * bell, -(p.omega_w * s + 2 * p.scale * t * c) * bell};
}

/* gain (exp(-(scale u)^2) - floor) of u = finer(z) */
INLINE both gauss_finer(float z, parameters p, int *is_far, int by_library) {
  both inner = finer(z, p, is_far, by_library), outer = gauss(inner.value, p, is_far, by_library);
  return (both){p.gain * (outer.value - p.floor), p.gain * outer.slope * inner.slope};
}

/* real_wire(finer(z)) */
INLINE both real_wire_finer(float z, parameters p, int *is_far, int by_library) {
  both inner = finer(z, p, is_far, by_library), outer = real_wire(inner.value, p, is_far, by_library);
  return (both){outer.value, outer.slope * inner.slope};
}

/* `is_complex`, which wavelets.c takes too, is never so. */

/* Do `write` for each i with the `result` of z[i]: LANES at a time by polynomials, then again what was too far for them. */
#define FOR_EACH(write)                                                                                                \
  for (int64_t start = 0; start < n; start += LANES) {                                                                 \
    int lanes = n - start < LANES ? (int)(n - start) : LANES, any_is_far = 0;                                          \
    float in[LANES];                                                                                                   \
    memcpy(in, z + start, lanes * sizeof *in);                                                                         \
    for (int i = 0; i < lanes; i++) {                                                                                  \
      both result = FUNCTION(in[i], p, &any_is_far, 0);                                                                \
      write;                                                                                                           \
    }                                                                                                                  \
    for (int i = 0; any_is_far && i < lanes; i++) {                                                                    \
      int is_far = 0;                                                                                                  \
      FUNCTION(in[i], p, &is_far, 0);                                                                                  \
      if (is_far) {                                                                                                    \
        both result = FUNCTION(in[i], p, &is_far, 1);                                                                  \
        write;                                                                                                         \
      }                                                                                                                \
    }                                                                                                                  \
  }

EXPORT void value(parameters p, int64_t n, int is_complex, const float *z, float *restrict value) {
  FOR_EACH(value[start + i] = result.value)
}

/* `slope` may be `z`. */
EXPORT void value_and_slope(parameters p, int64_t n, int is_complex, const float *z, float *restrict value, float *slope) {
  FOR_EACH({
    value[start + i] = result.value;
    slope[start + i] = result.slope;
  })
}

EXPORT void gradient(parameters p, int64_t n, int is_complex, const float *z, const float *grad, float *restrict gradient) {
  FOR_EACH(gradient[start + i] = result.slope * grad[start + i])
}
