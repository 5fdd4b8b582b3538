/* The nonlinearities f and g, and their derivatives. The macro SPARSE_AE_NONLINEARITIES, the table of
   nonlinearities.py, comes before this header. */
#ifndef SPARSE_AE_NONLINEARITIES_H
#define SPARSE_AE_NONLINEARITIES_H

namespace sparse_ae {

using std::signbit;
static inline double exp(double x) { return std::exp(x); }
static inline double tanh(double x) { return std::tanh(x); }

/* Cephes' single-precision exponential (S. Moshier, Methods and Programs for Mathematical Functions, 1989), without
   branches so that the compiler vectorises the loop around it; libm's costs more than the rest of a step at small k.
   Its error is at most 2 ulp. */
static inline float exp(float x)
{
    x = x < -87.f ? -87.f : x;
    x = x > 88.f ? 88.f : x;
    const float n = __builtin_rintf(x * 1.44269504088896341f);
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.f;
    const npy_int32 bits = (npy_int32)((npy_uint32)((npy_int32)n + 127) << 23);
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* Cephes' too: an odd polynomial near 0, where 1 - 2 / (exp(2x) + 1) would cancel. */
static inline float tanh(float x)
{
    const float z = x * x, a = std::fabs(x);
    const float c = ((-5.70498872745e-3f * z + 2.06390887954e-2f) * z - 5.37397155531e-2f) * z + 1.33314422036e-1f;
    const float small = (c * z - 3.33332819422e-1f) * z * x + x;
    const float large = 1.f - 2.f / (exp(2.f * a) + 1.f);
    return a < 0.625f ? small : (x < 0.f ? -large : large);
}

/* Nonlinearity<code> has the value at x and the derivative from the value y; a rectifier's at 0 depends on the sign of
   0, as in Theano. */
template <int CODE> struct Nonlinearity;
#define SPARSE_AE_DEFINE(code, value_at_x, slope_from_y)                            \
    template <> struct Nonlinearity<code> {                                         \
        template <typename real> static real value(real x) { return value_at_x; }   \
        template <typename real> static real slope(real y) { return slope_from_y; } \
    };
SPARSE_AE_NONLINEARITIES(SPARSE_AE_DEFINE)

/* Calls `visit` with a nonlinearity whose code is known only at run time: all of them share one compiled Op, and each
   loop has a constant. */
template <typename Visit> void with_nonlinearity(int code, Visit visit)
{
#define SPARSE_AE_CASE(code, value_at_x, slope_from_y) case code: visit(Nonlinearity<code>()); break;
    switch (code) { SPARSE_AE_NONLINEARITIES(SPARSE_AE_CASE) default: visit(Nonlinearity<0>()); }
}

template <typename T> void apply_each(int code, T *x, npy_intp n)
{
    with_nonlinearity(code, [=](auto f) {
        for (npy_intp i = 0; i < n; i++) x[i] = f.value(x[i]);
    });
}

/* d *= the derivative, from the values y. */
template <typename T> void times_slope(int code, T *d, const T *y, npy_intp n)
{
    with_nonlinearity(code, [=](auto f) {
        for (npy_intp i = 0; i < n; i++) d[i] *= f.slope(y[i]);
    });
}

}  // namespace sparse_ae

#endif
